//! The name of the VFS that gathers what is written into the write-ahead log; `log.c` is it. Without it the connection could not be opened.

use std::ffi::CStr;

/// For a connection that syncs with each commit, and for no other.
pub const GATHERING: &CStr = c"gathering";

#[cfg(test)]
mod tests {
    use super::super::schema;
    use rusqlite::Connection;

    fn blobs(connection: &Connection) -> Vec<(i64, Vec<u8>)> {
        let mut statement = connection
            .prepare("SELECT id, octets FROM blob ORDER BY id")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn is_sound(connection: &Connection) -> bool {
        let check = connection.pragma_query_value(None, "integrity_check", |row| row.get(0));
        check.is_ok_and(|found: String| found == "ok")
    }

    /// With a cache of some pages, changed ones go into the log before the commit, are read back from it and written over.
    #[test]
    fn a_commit_that_outgrows_all_buffers_is_whole_for_others_and_one_that_is_given_up_is_not_there()
     {
        let directory = tempfile::tempdir().unwrap();
        let index = directory.path().join("index.sqlite");
        let mut writer = schema::open(&index, None, |_| Ok(())).unwrap();
        writer.pragma_update(None, "cache_size", 10).unwrap();
        let reader = schema::open_reader(&index).unwrap();
        let octets = |id: i64, round: i64| vec![(id * 7 + round) as u8; (id * 37 % 9000) as usize];
        let write = |writer: &Connection, ids: std::ops::Range<i64>, round| {
            for id in ids {
                let sql = "INSERT OR REPLACE INTO blob (id, octets) VALUES (?1, ?2)";
                writer.execute(sql, (id, octets(id, round))).unwrap();
            }
        };
        let mut expected = Vec::new();
        for round in 0..4 {
            let transaction = writer.transaction().unwrap();
            write(&transaction, 0..300, round);
            write(&transaction, 100..200, round + 1);
            assert_eq!(blobs(&reader), expected, "round {round}");
            transaction.commit().unwrap();
            expected = (0..300)
                .map(|id| (id, octets(id, round + i64::from((100..200).contains(&id)))))
                .collect();
            assert_eq!(blobs(&reader), expected, "round {round}");

            let given_up = writer.transaction().unwrap();
            write(&given_up, 50..400, 9);
            given_up.rollback().unwrap();
            assert_eq!(blobs(&writer), expected, "round {round}");
        }
        assert!(is_sound(&writer) && is_sound(&reader));
        drop(writer);
        assert_eq!(blobs(&schema::connect(&index).unwrap()), expected);
    }

    /// The log begins anew, so that what was given up and what another connection commits have the same place in it.
    #[test]
    fn what_was_given_up_is_not_written_over_the_commit_of_another() {
        for pages in 1..40 {
            let directory = tempfile::tempdir().unwrap();
            let index = directory.path().join("index.sqlite");
            let mut first = schema::open(&index, None, |_| Ok(())).unwrap();
            let second = schema::open(&index, None, |_| Ok(())).unwrap();
            let fill = |connection: &Connection, id: i64| {
                let sql = "INSERT OR REPLACE INTO blob (id, octets) VALUES (?1, ?2)";
                connection.execute(sql, (id, vec![1; 3000])).unwrap();
            };
            (0..20).for_each(|id| fill(&first, id));
            first.pragma_update(None, "cache_size", 10).unwrap();
            let checkpoint = "PRAGMA wal_checkpoint(RESTART)";
            first.query_row(checkpoint, [], |_| Ok(())).unwrap();

            let given_up = first.transaction().unwrap();
            (100..100 + pages).for_each(|id| fill(&given_up, id));
            given_up.rollback().unwrap();
            let sql = "UPDATE blob SET octets = zeroblob(3000)";
            assert_eq!(second.execute(sql, []).unwrap(), 20);

            let expected: Vec<_> = (0..20).map(|id| (id, vec![0; 3000])).collect();
            assert!(blobs(&first) == expected, "{pages} pages");
            drop(first);
            assert!(blobs(&second) == expected, "{pages} pages");
            assert!(is_sound(&second));
        }
    }
}
