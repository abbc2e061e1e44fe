//! What an upload takes out of the graph, and how its jobs are allowed to.

use super::{ending::Ending, pack::Kind, report::Tally};
use crate::{graph::RecordType, page::Coverage};

/// A record that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone<'a> {
    pub(super) key: &'a str,
    pub(super) of: RecordType,
    /// The keys of both ends, for a relationship.
    pub(super) ends: Option<(&'a str, &'a str)>,
}

/// The records that are no more once the upload is in the graph, in the order
/// of their keys. Not among them: one that comes again with the upload.
pub(super) fn gone(coverage: &Coverage) -> Vec<Gone<'_>> {
    let read = |key| RecordType::of_key(key).map(|(of, ends)| Gone { key, of, ends });
    coverage.gone().filter_map(|key| read(key.as_str())).collect()
}

/// The ending of a job that is sent in place of these records: of their types
/// it has to hold all there is, and what is of any other of `types` stays.
pub(super) fn ending<'a>(
    mut types: Vec<&'static str>,
    gone: impl IntoIterator<Item = &'a Gone<'a>>,
) -> Ending {
    let mut at_most = Tally::default();
    for record in gone {
        at_most = at_most.plus(Tally::of(Kind::of(record.of.is_relationship()), 1));
        types.retain(|of| *of != record.of.name());
    }
    if at_most == Tally::default() { Ending::Append(types) } else { Ending::Remove(types, at_most) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{page::Listing, sink::jupiterone::shared_types};

    #[test]
    fn a_job_leaves_out_the_types_of_what_goes_and_may_delete_no_more_than_that() {
        let check = |keys: &[&str], expect: Option<(&[&str], u64, u64)>| {
            let mut coverage = Coverage::default();
            let removed = keys.iter().map(|key| (*key).to_owned()).collect();
            coverage.list(Listing { removed, ..Listing::default() });
            let all = shared_types();
            let left_out = |kept: &[&'static str]| -> Vec<&'static str> {
                all.iter().filter(|of| !kept.contains(of)).copied().collect()
            };
            let told = match ending(all.clone(), &gone(&coverage)) {
                Ending::Remove(kept, Tally { entities, relationships }) => {
                    Some((left_out(&kept), entities, relationships))
                }
                Ending::Append(kept) => {
                    assert_eq!(kept, all);
                    None
                }
                Ending::Replace(_) => panic!("nothing is replaced"),
            };
            assert_eq!(told, expect.map(|(types, entities, of)| (types.to_vec(), entities, of)));
        };
        check(&[], None);
        check(&["no key of ours"], None);
        check(&["one_password_vault:V"], Some((&["one_password_vault"], 1, 0)));
        check(
            &[
                "one_password_secret:A",
                "one_password_secret:B",
                "one_password_vault:V|has|one_password_secret:A",
            ],
            Some((&["one_password_secret", "one_password_vault_has_secret"], 2, 1)),
        );
    }
}
