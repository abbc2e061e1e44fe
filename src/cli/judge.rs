//! A local graph before the simulator's oracle.

use std::{panic::resume_unwind, path::Path, sync::mpsc::sync_channel, thread};

use opgraph_simulator::{Held, HeldInFull, Report, Simulator};

use crate::{
    graph::{EntityType, RecordType},
    sink::{
        SinkError,
        graph::{GraphReader, StoredRecord},
    },
};

/// Has the oracle compare a local graph, record by record, with what was served.
///
/// # Errors
///
/// If the graph cannot be read.
pub fn judge(simulator: &Simulator, graph: &Path) -> Result<Report, SinkError> {
    let reader = GraphReader::open(graph)?;
    let (out, held) = sync_channel(1024);
    let reading = thread::spawn(move || {
        reader.each(|record| {
            // The oracle takes all there is; if it stops, so does this.
            let _ = out.send(self::held(record));
        })
    });
    let report = simulator.report_of(held);
    reading.join().unwrap_or_else(|panic| resume_unwind(panic))?;
    Ok(report)
}

/// Returns a record in the oracle's words, with the properties of a vault or secret.
pub fn held(record: StoredRecord) -> HeldInFull {
    let listed = matches!(record.of, RecordType::Entity(EntityType::Vault | EntityType::Secret));
    // What cannot be read has no properties, and that is told as well.
    let properties = listed.then(|| serde_json::from_str(&record.json).unwrap_or_default());
    let entity = matches!(record.of, RecordType::Entity(_));
    let class = match record.of {
        RecordType::Entity(of) => of.class(),
        RecordType::Relationship(of) => of.verb(),
    };
    let (from, to) = record.ends.unzip();
    let record = Held {
        key: record.key,
        type_: record.of.name().to_owned(),
        class: Some(class.to_owned()),
        from,
        to,
        name: record.name,
        display_name: None,
        created_on: entity.then_some(record.created_on),
    };
    HeldInFull { record, properties }
}
