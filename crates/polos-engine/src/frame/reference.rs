//! References in what workers say: a run may refer to what it has had kept, and to nothing else.

use crate::engine::Engine;
use crate::error::Error;
use polos_protocol::record::{Kind, NewRecord, Open};
use polos_protocol::{RunId, Value};
use polos_store::Read;

impl Engine {
    /// What is wrong with the references of records, if anything is.
    pub(super) fn bad_reference_in(
        &self,
        run: RunId,
        records: &[NewRecord],
        store: &dyn Read,
    ) -> Result<Option<String>, Error> {
        for record in records {
            if record.kind == Kind::Emit {
                // An event carries its payload: see the check of the record itself.
                continue;
            }
            if let Some(bad) = self.bad_reference(run, record.value.as_ref(), store)? {
                return Ok(Some(bad));
            }
            if let Some(input) = child_input(record)
                && let Some(bad) = self.bad_reference(run, Some(&input), store)?
            {
                return Ok(Some(bad));
            }
        }
        Ok(None)
    }

    /// What is wrong with a value's reference, if it is one and anything is.
    pub(super) fn bad_reference(
        &self,
        run: RunId,
        value: Option<&Value>,
        store: &dyn Read,
    ) -> Result<Option<String>, Error> {
        let Some((hash, size)) = reference(value) else { return Ok(None) };
        let Some(live) = self.runs.get(&run) else { return Ok(None) };
        let kept = store.blob_size(&live.run.row.namespace, run, hash)?;
        let shown: String = hash.chars().take(80).collect();
        Ok(match kept {
            Some(kept) if kept == size => None,
            Some(kept) => Some(format!("value `{shown}` has {kept} bytes, not {size}")),
            None => Some(format!("the run has no value `{shown}`: it must be stored first")),
        })
    }
}

fn reference(value: Option<&Value>) -> Option<(&str, u64)> {
    value?.reference().map(|reference| (&*reference.hash, reference.size))
}

/// The input of a child that is to be opened, if it is a reference.
fn child_input(record: &NewRecord) -> Option<Value> {
    // Looked for in the text first: most inputs stand inline, and details may be long.
    let detail = record.detail.as_deref().filter(|_| record.kind == Kind::Open)?.get();
    if !detail.contains("\"ref\"") {
        return None;
    }
    match serde_json::from_str(detail).ok()? {
        Open::Child(child) => Some(child.input),
        Open::Timer { .. } | Open::Event(_) | Open::Approval(_) => None,
    }
}
