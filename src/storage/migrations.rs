//! The steps of the schema, numbered, embedded and append-only.

/// A step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number; they rise without a gap from 1.
    pub version: i64,
    /// Its subject.
    pub name: &'static str,
    /// The statements for SQLite.
    pub sqlite: &'static str,
    /// The statements for PostgreSQL, with the same tables and columns.
    pub postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $file, ".sql")),
        }
    };
}

/// Every step there is.
pub const ALL: &[Migration] = &[
    migration!(1, "exchange", "0001_exchange"),
    migration!(2, "policies", "0002_policies"),
    migration!(3, "key_cards", "0003_key_cards"),
    migration!(4, "lists", "0004_lists"),
    migration!(5, "previews", "0005_previews"),
    migration!(6, "part_statements", "0006_part_statements"),
    migration!(7, "labels", "0007_labels"),
    migration!(8, "marks", "0008_marks"),
    migration!(9, "wrapped_keys", "0009_wrapped_keys"),
    migration!(10, "time", "0010_time"),
    migration!(11, "revocation_lists", "0011_revocation_lists"),
    migration!(12, "unreadable", "0012_unreadable"),
    migration!(13, "call_inverses", "0013_call_inverses"),
    migration!(14, "inverses", "0014_inverses"),
    migration!(15, "bytes_of_a_nation", "0015_bytes_of_a_nation"),
    migration!(16, "parties_by_consent", "0016_parties_by_consent"),
    migration!(17, "deadline_organisations", "0017_deadline_organisations"),
    migration!(18, "kinds_of_interests", "0018_kinds_of_interests"),
    migration!(19, "calls_of_an_author", "0019_calls_of_an_author"),
    migration!(20, "employers", "0020_employers"),
    migration!(21, "authors_and_bytes", "0021_authors_and_bytes"),
    migration!(22, "announced_bytes", "0022_announced_bytes"),
    migration!(23, "holders", "0023_holders"),
    migration!(24, "reopenings", "0024_reopenings"),
    migration!(25, "recipients", "0025_recipients"),
    migration!(26, "references", "0026_references"),
    migration!(27, "suspensions", "0027_suspensions"),
    migration!(28, "inbox", "0028_inbox"),
    migration!(29, "declined_assignments", "0029_declined_assignments"),
    migration!(30, "uploads", "0030_uploads"),
    migration!(31, "rankings", "0031_rankings"),
    migration!(32, "closing", "0032_closing"),
    migration!(33, "upload_instants", "0033_upload_instants"),
    migration!(34, "letters_to_one_party", "0034_letters_to_one_party"),
    migration!(35, "declarations", "0035_declarations"),
    migration!(36, "bounded_reads", "0036_bounded_reads"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_from_one_without_a_gap() {
        assert!(ALL.iter().map(|migration| migration.version).eq(1..=i64::try_from(ALL.len()).unwrap()));
    }
}
