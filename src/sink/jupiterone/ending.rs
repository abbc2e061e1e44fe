//! How a sync job ends: what finalizing it may do to the graph.

use super::report::Tally;

/// What finalizing may do to the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Adds and updates. What is of these types stays, mentioned or not, and
    /// a report of anything deleted stops the tenant.
    Append(Vec<&'static str>),
    /// Makes the scope hold what the job held, and nothing else. Removing more
    /// than this stops the tenant.
    Replace(Tally),
    /// Takes out what is of any other type than these and was not mentioned.
    /// Removing more than this stops the tenant.
    Remove(Vec<&'static str>, Tally),
}

impl Ending {
    /// How much the job may delete.
    pub(super) fn may_delete(&self) -> Tally {
        match self {
            Ending::Append(_) => Tally::default(),
            Ending::Replace(at_most) | Ending::Remove(_, at_most) => *at_most,
        }
    }

    /// How much a removal may delete; `None` of any other ending.
    pub(super) fn removes(&self) -> Option<Tally> {
        match self {
            Ending::Remove(_, at_most) => Some(*at_most),
            Ending::Append(_) | Ending::Replace(_) => None,
        }
    }

    /// Lets a removal delete so many records more, each with a relationship:
    /// what JupiterOne refuses to take again cannot be mentioned, so it may go.
    /// It is whole in the quarantine. Answers whether that made a difference.
    pub(super) fn spare(&mut self, refused: u64) -> bool {
        match self {
            Ending::Remove(_, at_most) if refused > 0 => {
                *at_most = at_most.plus(Tally { entities: refused, relationships: refused });
                true
            }
            _ => false,
        }
    }

    /// Whether it may delete nothing at all.
    pub(super) fn is_append_only(&self) -> bool {
        matches!(self, Ending::Append(_))
    }

    /// The types of which everything stays, mentioned or not.
    pub(super) fn stays(&self) -> &[&'static str] {
        match self {
            Ending::Append(types) | Ending::Remove(types, _) => types,
            Ending::Replace(_) => &[],
        }
    }
}
