//! What the graph is made of: its types, and the records that one page becomes.

pub mod types;

pub mod schema;

pub mod records;

pub mod properties;

pub mod lots;

pub mod text;

mod written;

pub mod json;

pub use lots::{Lot, Stretch};
pub use properties::Properties;
pub use records::{Counts, Record, Records};
pub use schema::schema;
pub use text::{Text, Textual};
pub use types::{EntityType, Kind, Property, RecordType, RelationshipType, Sharing};
pub use written::Written;
