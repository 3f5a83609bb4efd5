//! Orders objects by their dependencies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::schema::model::{Key, Schema};

/// All objects, each after those that it needs. Kinds and names decide where dependencies do not, so that the order
/// does not change between runs. In a circle of objects, the first kind comes first.
pub(super) fn ordered(schema: &Schema) -> Vec<&Key> {
    let mut missing: BTreeMap<&Key, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&Key, Vec<&Key>> = BTreeMap::new();
    for (key, object) in &schema.objects {
        let mut needed: Vec<&Key> = object.depends.iter().map(|dependency| &dependency.key).collect();
        needed.retain(|needed| schema.objects.contains_key(*needed));
        needed.dedup();
        missing.insert(key, needed.len());
        for needed in needed {
            dependents.entry(needed).or_default().push(key);
        }
    }
    let mut ready: BinaryHeap<Reverse<&Key>> =
        missing.iter().filter(|(_, count)| **count == 0).map(|(key, _)| Reverse(*key)).collect();
    missing.retain(|_, count| *count > 0);
    let mut order = Vec::with_capacity(schema.objects.len());
    loop {
        let key = match ready.pop() {
            Some(Reverse(key)) => key,
            None => match missing.pop_first() {
                Some((key, _)) => key,
                None => return order,
            },
        };
        order.push(key);
        for dependent in dependents.remove(key).unwrap_or_default() {
            let Some(count) = missing.get_mut(dependent) else { continue };
            *count -= 1;
            if *count == 0 {
                missing.remove(dependent);
                ready.push(Reverse(dependent));
            }
        }
    }
}
