//! What each request changes, or why it is refused. Nothing here writes to disk.

use std::collections::BTreeMap;

use super::{
    overlay::Overlay,
    parts,
    prune::{Pruning, Sweep},
    rows,
    rows::SeenPage,
    trees::{Rows, Tree},
    values,
    values::StreamAt,
};
use crate::{
    Checkpoint, Claim, Commit, Cursor, Entry, Epoch, InventoryChange, QuarantineId, Quarantined, Refused,
    Step, StoreError, UnixMs, UploadNote, memory::never_claimed, run::Run,
};

pub(super) fn claim(
    overlay: &mut Overlay<'_>,
    tenant: &str,
    first: &[(String, Cursor)],
    at: UnixMs,
) -> Result<Claim, StoreError> {
    let earlier = values::run(overlay, tenant)?;
    let run = Run::claimed_after(earlier, at);
    put_run(overlay, tenant, run)?;
    let mut checkpoints = BTreeMap::new();
    for (stream, cursor) in first {
        let checkpoint = match values::checkpoint(overlay, tenant, stream)? {
            Some(stored) => stored,
            None => {
                let first = Checkpoint::starting_at(cursor.clone());
                put_checkpoint(overlay, tenant, stream, &first)?;
                first
            }
        };
        checkpoints.insert(stream.clone(), checkpoint);
    }
    let notes = overlay.scan(Tree::Uploads, &rows::tenant(tenant))?;
    let mut unsettled = Vec::new();
    for note in parts::join(Tree::Uploads, notes.into_iter().map(Ok)) {
        let (key, bytes) = note?;
        unsettled.push(values::from_json(Tree::Uploads, &key, &bytes)?);
    }
    Ok(Claim {
        epoch: run.epoch,
        checkpoints,
        unsettled,
        active_until: earlier.and_then(|run| run.active_until),
    })
}

pub(super) fn commit(
    overlay: &mut Overlay<'_>,
    pruning: &Pruning,
    commit: &Commit,
) -> Result<Vec<Sweep>, StoreError> {
    let run = Run::admit(values::run(overlay, &commit.tenant)?, commit.epoch)?;
    let mut moved = BTreeMap::new();
    for step in &commit.steps {
        put_step(overlay, run, commit, step, &mut moved)?;
    }
    // A later step of the commit may need what the one before it would let go of.
    let mut sweeps = Vec::new();
    for (stream, Moved { checkpoint, added, hour }) in moved {
        sweeps.extend(pruning.sweep(overlay, stream, &checkpoint, added, hour)?);
    }
    for key in &commit.removed {
        overlay.remove(Tree::Directory, &rows::directory(&commit.tenant, key))?;
    }
    for entry in &commit.directory {
        put_entry(overlay, &commit.tenant, entry)?;
    }
    for change in &commit.inventory {
        list(overlay, &commit.tenant, change)?;
    }
    take_out(overlay, &commit.tenant, &commit.released)?;
    for entry in &commit.quarantined {
        put_quarantined(overlay, &commit.tenant, entry)?;
    }
    for name in &commit.settled {
        overlay.remove(Tree::Uploads, &rows::upload(&commit.tenant, name))?;
    }
    Ok(sweeps)
}

fn list(overlay: &mut Overlay<'_>, tenant: &str, change: &InventoryChange) -> Result<(), StoreError> {
    match change {
        InventoryChange::Vault(vault) => {
            overlay.put(Tree::Inventory, &rows::vault(tenant, &vault.id), &values::json(vault))
        }
        InventoryChange::VaultGone { vault } => overlay.remove(Tree::Inventory, &rows::vault(tenant, vault)),
        InventoryChange::Item(item) => {
            overlay.put(Tree::Inventory, &rows::item(tenant, &item.vault, &item.id), &values::json(item))
        }
        InventoryChange::ItemGone { vault, item } => {
            overlay.remove(Tree::Inventory, &rows::item(tenant, vault, item))
        }
    }
}

pub(super) fn renew(
    overlay: &mut Overlay<'_>,
    tenant: &str,
    epoch: Epoch,
    until: UnixMs,
) -> Result<(), StoreError> {
    let run = Run::admit(values::run(overlay, tenant)?, epoch)?;
    put_run(overlay, tenant, Run { active_until: Some(until), ..run })
}

pub(super) fn rewind(
    overlay: &mut Overlay<'_>,
    tenant: &str,
    stream: &str,
    to: Cursor,
) -> Result<Checkpoint, StoreError> {
    let run = Run::rewound_after(values::run(overlay, tenant)?);
    put_run(overlay, tenant, run)?;
    let stored = values::checkpoint(overlay, tenant, stream)?;
    let rewound = stored.unwrap_or_else(|| Checkpoint::starting_at(to.clone())).rewound(to);
    put_checkpoint(overlay, tenant, stream, &rewound)?;
    Ok(rewound)
}

pub(super) fn import(
    overlay: &mut Overlay<'_>,
    tenant: &str,
    checkpoints: BTreeMap<String, Checkpoint>,
    replace: bool,
    at: UnixMs,
) -> Result<(), StoreError> {
    if !replace && !overlay.scan(Tree::Checkpoints, &rows::tenant(tenant))?.is_empty() {
        return Err(Refused::HasCheckpoints { tenant: tenant.to_owned() }.into());
    }
    let run = Run::claimed_after(values::run(overlay, tenant)?, at);
    put_run(overlay, tenant, run)?;
    for (stream, checkpoint) in checkpoints {
        let stored = values::checkpoint(overlay, tenant, &stream)?;
        let imported = match &stored {
            Some(stored) => checkpoint.imported_over(stored),
            None => checkpoint,
        };
        put_checkpoint(overlay, tenant, &stream, &imported)?;
    }
    Ok(())
}

pub(super) fn note_upload(
    overlay: &mut Overlay<'_>,
    tenant: &str,
    epoch: Epoch,
    note: &UploadNote,
) -> Result<(), StoreError> {
    Run::admit(values::run(overlay, tenant)?, epoch)?;
    overlay.put(Tree::Uploads, &rows::upload(tenant, &note.name), &values::json(note))
}

fn put_run(overlay: &mut Overlay<'_>, tenant: &str, run: Run) -> Result<(), StoreError> {
    overlay.put(Tree::Claims, &rows::tenant(tenant), &values::json(&run))
}

fn put_checkpoint(
    overlay: &mut Overlay<'_>,
    tenant: &str,
    stream: &str,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    let value =
        StreamAt { tenant: tenant.to_owned(), stream: stream.to_owned(), checkpoint: checkpoint.clone() };
    overlay.put(Tree::Checkpoints, &rows::stream(tenant, stream), &values::json(&value))
}

/// What the steps of one commit have done to a stream.
struct Moved {
    checkpoint: Checkpoint,
    /// Rows of ids.
    added: usize,
    /// The earliest hour under which one of them is filed.
    hour: i64,
}

fn put_step(
    overlay: &mut Overlay<'_>,
    run: Run,
    commit: &Commit,
    step: &Step,
    moved: &mut BTreeMap<Vec<u8>, Moved>,
) -> Result<(), StoreError> {
    let stored = values::checkpoint(overlay, &commit.tenant, &step.stream)?;
    let checkpoint = stored.ok_or_else(|| never_claimed(&commit.tenant, &step.stream))?.advanced(
        run.epoch,
        commit.epoch,
        step,
        commit.at,
    )?;
    put_checkpoint(overlay, &commit.tenant, &step.stream, &checkpoint)?;
    let stream = rows::stream(&commit.tenant, &step.stream);
    let hour = step.filed_under(commit.at);
    let mut added = 0;
    for (page, ids) in (0..).zip(&step.seen) {
        let page = SeenPage { hour, commit: checkpoint.commits, page };
        for (part, ids) in (0..).zip(values::seen(ids)) {
            overlay.put_row(Tree::Seen, rows::seen(&stream, page, part), ids);
            added += 1;
        }
    }
    let (before, earliest) = moved.get(&stream).map_or((0, hour), |moved| (moved.added, moved.hour));
    moved.insert(stream, Moved { checkpoint, added: before + added, hour: hour.min(earliest) });
    Ok(())
}

fn put_entry(overlay: &mut Overlay<'_>, tenant: &str, entry: &Entry) -> Result<(), StoreError> {
    let stored = values::directory(overlay, tenant, &entry.key)?;
    if stored.is_some_and(|stored| !entry.supersedes(&stored)) {
        return Ok(());
    }
    overlay.put(Tree::Directory, &rows::directory(tenant, &entry.key), &values::entry(entry))
}

fn put_quarantined(overlay: &mut Overlay<'_>, tenant: &str, entry: &Quarantined) -> Result<(), StoreError> {
    let id = entry.id();
    let index = rows::quarantine_id(tenant, &id);
    if overlay.get(Tree::Quarantine, &index)?.is_some() {
        return Ok(());
    }
    overlay.put_row(Tree::Quarantine, index, entry.at.0.to_be_bytes().as_slice().into());
    let key = rows::quarantined(tenant, entry.at, &id);
    overlay.put(Tree::Quarantine, &key, &values::json(entry))
}

/// Removes entries of the quarantine; refused if one is not there.
pub(super) fn take_out(
    overlay: &mut Overlay<'_>,
    tenant: &str,
    ids: &[QuarantineId],
) -> Result<(), StoreError> {
    for id in ids {
        let Some(key) = values::quarantined_at(overlay, tenant, id)? else {
            return Err(Refused::NotInQuarantine { id: id.clone() }.into());
        };
        overlay.remove_row(Tree::Quarantine, rows::quarantine_id(tenant, id));
        overlay.remove(Tree::Quarantine, &key)?;
    }
    Ok(())
}
