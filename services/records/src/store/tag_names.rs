//! The SQL between tags, their names and their classifications.

use orrery_kit::db::Statement;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::error::Error;

/// Reads the names of tags, by uid, and locks the tags so that neither their names change nor they are deleted.
/// `is_sharded` says whether the database spreads its tables over shards; then an update that changes nothing locks.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn lock(uids: &[String], is_sharded: bool) -> Result<Statement, Error> {
    let sql = if is_sharded {
        "update records.tag as t\n   set uid = t.uid\n where t.uid = any ($1)\nreturning t.uid, t.name"
    } else {
        "select t.uid, t.name\n  from records.tag as t\n where t.uid = any ($1)\n order by t.uid\n   for share"
    };
    Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))
}

/// Locks tags that are about to be renamed, as a rename locks them. Classifications are written under the lock of their
/// tag, so every rename takes it first.
///
/// # Errors
/// As [`lock`].
pub fn lock_to_rename(uids: &[String], is_sharded: bool) -> Result<Statement, Error> {
    if is_sharded {
        return lock(uids, is_sharded);
    }
    let sql = "select t.uid\n  from records.tag as t\n where t.uid = any ($1)\n order by t.uid\n   for no key update";
    Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))
}

/// Gives classifications the new names of their tags.
///
/// # Errors
/// As [`lock`].
pub fn rename_classified(uids: &[String], names: &[String]) -> Result<Statement, Error> {
    let sql = "update records.tag_classification as t
   set tag_name = i.name, update_ts = now()
  from unnest($1::text[], $2::text[]) as i (uid, name)
 where t.tag_uid = i.uid
   and t.tag_name is distinct from i.name";
    Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?.bind(ArrayParameter::texts(names))
}

/// Deletes the classification of a tag.
///
/// # Errors
/// As [`lock`].
pub fn unclassify(uid: &str) -> Result<Statement, Error> {
    Statement::new("delete from records.tag_classification as t\n where t.tag_uid = $1", 1).bind(uid)
}

/// Finds tags by their names in any letter case: the place of each name in the list, from 1, and the tag's uid.
///
/// # Errors
/// As [`lock`].
pub fn by_name(names: &[String]) -> Result<Statement, Error> {
    let sql = "select i.ordinal, t.uid
  from (select n.ordinal, lower(n.name) as folded from unnest($1::text[]) with ordinality as n (name, ordinal)) as i
  join records.tag as t on lower(t.name) = i.folded";
    Statement::new(sql, names.len()).bind(ArrayParameter::texts(names))
}

/// Creates tags. A name that another tag has is left out.
///
/// # Errors
/// As [`lock`].
pub fn create(uids: &[String], names: &[String]) -> Result<Statement, Error> {
    let sql = "insert into records.tag as t (uid, name)
select i.uid, i.name
  from unnest($1::text[], $2::text[]) as i (uid, name)
 order by lower(i.name)
    on conflict do nothing
returning t.uid";
    Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?.bind(ArrayParameter::texts(names))
}

/// Renames a tag.
///
/// # Errors
/// As [`lock`].
pub fn rename(uid: &str, name: &str) -> Result<Statement, Error> {
    let sql = "update records.tag as t\n   set name = $2, update_ts = now()\n where t.uid = $1\n   and t.name <> $2";
    Statement::new(sql, 1).bind(uid)?.bind(name)
}

/// Deletes a tag.
///
/// # Errors
/// As [`lock`].
pub fn delete(uid: &str) -> Result<Statement, Error> {
    Statement::new("delete from records.tag as t\n where t.uid = $1", 1).bind(uid)
}

/// Puts a tag into a category. If it is in that category already, nothing changes.
///
/// # Errors
/// As [`lock`].
pub fn classify(uid: &str, name: &str, category_name: &str) -> Result<Statement, Error> {
    let sql = "insert into records.tag_classification as t (tag_uid, tag_name, category_name)
values ($1, $2, $3)
    on conflict (tag_uid) do update
   set tag_name = excluded.tag_name, category_name = excluded.category_name, update_ts = excluded.update_ts
 where (t.tag_name, t.category_name) is distinct from (excluded.tag_name, excluded.category_name)";
    Statement::new(sql, 1).bind(uid)?.bind(name)?.bind(category_name)
}
