//! Where settings come from, what is refused, and what validation reports.

use super::*;

const SMALL: &str = "host = 'USA'\n[api]\nlisten = '127.0.0.1:0'\ncertificate = 'c.pem'\nprivate_key = 'k.pem'\n\
    [database]\nurl = 'sqlite://data/entente.db?mode=rwc'\n[blobs]\nfolder = 'blobs'\n";

fn load(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.toml");
    std::fs::write(&path, text).unwrap();
    let owned =
        |pairs: &[(&str, &str)]| -> Vec<_> { pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() };
    let mut config = Config::load(Some(&path), owned(environment), &owned(flags))?;
    // The folder is gone when this returns; tests compare with a fixed one.
    config.api.certificate = Path::new("/base").join(config.api.certificate.strip_prefix(folder.path()).unwrap());
    Ok(config)
}

#[test]
fn example_file_loads_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.example.toml");
    let config = Config::load(Some(&path), [], &[]).unwrap();
    assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
    assert_eq!(config.quotas, Quotas::default());
    assert_eq!(config.admin.listen, AdminConfig::default().listen);
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Info));
    assert!(config.trust.crl_folder.is_some());
}

/// The numbers in the cells of the last columns of a decision's only table, row by row; sizes in bytes.
fn numbers(page: &str, columns: usize) -> Vec<(String, Vec<u64>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/adr").join(page);
    let page = std::fs::read_to_string(path).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let number = |text: &str| {
        let mut words = text.split_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        let unit = words.next().unwrap_or_default();
        Some(number << [("MiB", 20), ("GiB", 30)].iter().find(|(name, _)| *name == unit).map_or(0, |(_, bits)| *bits))
    };
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let last = &cells[cells.len() - columns..];
        let found = last.iter().flat_map(|cell| cell.split([';', ','])).filter_map(|text| number(text.trim()));
        (cells[0].to_owned(), found.collect())
    };
    rows.map(row).collect()
}

#[test]
fn tables_of_the_decisions_have_the_defaults() {
    // A quota that is added gets its row.
    let Quotas {
        programs_per_partner,
        proposals_per_member,
        drafts_per_member,
        calls_per_day_per_partner,
        documents_per_party,
        bytes_per_party,
        bytes_per_partner,
        documents_per_slot,
        arriving_per_slot_per_member,
        arriving_bytes_per_member,
        uploads_per_member,
        unfinished_uploads_hours,
        announced_bytes_per_member,
        replaced_documents_days,
        versions_per_proposal,
        labels_per_proposal,
        members_per_party,
        invitations_per_party,
        declarations_per_member_and_proposal,
        amendments_per_call,
        extensions_per_call_per_partner,
        role_changes_per_call_per_partner,
        wrapped_keys_per_recipient_per_partner,
        members_per_partner,
        key_cards_per_day_per_member,
        policy_versions_per_day,
        stored_bytes_per_day_per_member,
        stored_bytes_per_day_per_partner,
        logged_reads_per_minute,
        acts_per_minute_per_member,
        acts_per_minute_per_partner,
    } = Quotas::default();
    let defaults: [(&str, &[u64]); 22] = [
        ("programs", &[programs_per_partner]),
        ("proposals never submitted", &[proposals_per_member]),
        ("calls drafted and not published", &[drafts_per_member]),
        ("calls drafted within 24 hours", &[calls_per_day_per_partner]),
        ("documents of a proposal", &[documents_per_party, bytes_per_party, documents_per_slot]),
        ("bytes of all documents on the exchange", &[bytes_per_partner]),
        ("bytes of documents that are announced", &[announced_bytes_per_member]),
        ("documents on their way", &[arriving_per_slot_per_member, arriving_bytes_per_member]),
        ("uploads that are not at their end", &[uploads_per_member]),
        ("versions of a proposal, and relabellings", &[versions_per_proposal, labels_per_proposal]),
        ("members of a party of a proposal", &[members_per_party, invitations_per_party]),
        ("declarations", &[declarations_per_member_and_proposal]),
        ("amendments", &[amendments_per_call]),
        ("extensions of a call", &[extensions_per_call_per_partner]),
        ("changes of the roles", &[role_changes_per_call_per_partner]),
        ("members who wrap", &[wrapped_keys_per_recipient_per_partner]),
        ("members, those", &[members_per_partner]),
        ("key cards", &[key_cards_per_day_per_member]),
        ("versions of policies", &[policy_versions_per_day]),
        ("bytes that acts and logged reads add", &[stored_bytes_per_day_per_member, stored_bytes_per_day_per_partner]),
        ("reads that leave an entry", &[logged_reads_per_minute.into()]),
        ("acts, a minute", &[acts_per_minute_per_member.into(), acts_per_minute_per_partner.into()]),
    ];
    let page = "0032-quotas-and-refusals.md";
    let rows = numbers(page, 1);
    assert_eq!(rows.len(), defaults.len(), "a row for each");
    for ((what, found), (begins, expected)) in rows.iter().zip(defaults) {
        assert!(what.starts_with(begins), "{what}");
        assert_eq!(found, expected, "{what}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/adr").join(page);
    let days = format!("`replaced_documents_days` ({replaced_documents_days})");
    assert!(std::fs::read_to_string(&path).unwrap().contains(&days), "{days}");
    let hours = format!("`unfinished_uploads_hours` ({unfinished_uploads_hours})");
    let page = path.with_file_name("0049-resumable-uploads.md");
    assert!(std::fs::read_to_string(page).unwrap().contains(&hours), "{hours}");

    let Limits { connections, connections_per_partner, connections_per_member, .. } = Limits::default();
    let Limits { connections_without_key_card, handshakes, handshakes_per_address, .. } = Limits::default();
    let Limits { requests, requests_per_partner, requests_per_member, .. } = Limits::default();
    let Limits { downloads, downloads_per_partner, downloads_per_member, .. } = Limits::default();
    let limits: [(&str, &[usize]); 4] = [
        ("connections", &[connections, connections_per_partner, connections_per_member, connections_without_key_card]),
        ("handshakes", &[handshakes, handshakes_per_address]),
        ("requests", &[requests, requests_per_partner, requests_per_member]),
        ("downloads", &[downloads, downloads_per_partner, downloads_per_member]),
    ];
    let rows = numbers("0027-shares.md", 4);
    for ((what, found), (begins, expected)) in rows.iter().zip(limits) {
        assert!(what.starts_with(begins), "{what}");
        assert_eq!(*found, expected.iter().map(|number| *number as u64).collect::<Vec<_>>(), "{what}");
    }
}

#[test]
fn relative_paths_start_at_the_file() {
    let config = load(SMALL, &[], &[]).unwrap();
    assert_eq!(config.api.certificate, Path::new("/base/c.pem"));
    let Some(DatabaseKind::Sqlite(path)) = config.database.url.kind() else { panic!("{:?}", config.database) };
    assert!(path.is_absolute() && path.ends_with("data/entente.db"), "{}", path.display());
    assert!(config.database.url.reveal().ends_with("data/entente.db?mode=rwc"));
}

#[test]
fn environment_lies_over_the_file_and_flags_over_both() {
    let environment =
        [("ENTENTE_LIMITS__HEADER_SECONDS", "0.25"), ("ENTENTE_LOG__LEVEL", "debug"), ("ENTENTE_HOST", "GBR")];
    let config = load(SMALL, &environment, &[("log.level", "warn")]).unwrap();
    assert_eq!(config.limits.header, Duration::from_millis(250));
    assert_eq!(config.log.level, LogLevel::Warn);
    assert_eq!(config.host.as_str(), "GBR");
}

#[test]
fn unknown_keys_are_refused_with_their_path() {
    for (text, path) in [("colour = 1\n", "colour"), ("[limits]\nheader_secs = 3\n", "limits.header_secs")] {
        let text = if path == "colour" { format!("{text}{SMALL}") } else { format!("{SMALL}{text}") };
        let error = load(&text, &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), format!("unknown key `{path}`"));
        assert!(error.help().contains("known there are `"), "{}", error.help());
    }
    let error = load(SMALL, &[("ENTENTE_API__LISTENER", "x")], &[]).unwrap_err();
    assert_eq!(error.to_string(), "unknown key `api.listener`");
}

#[test]
fn variables_of_the_client_are_left_alone() {
    assert!(load(SMALL, &[("ENTENTE_PROFILE", "avi"), ("ENTENTE_PASSPHRASE", "x")], &[]).is_ok());
}

#[test]
fn wrong_values_are_refused_with_their_key() {
    for (from, to, key) in [
        ("'USA'", "'usa'", "host"),
        ("'127.0.0.1:0'", "'here'", "api.listen"),
        ("[blobs]", "[limits]\nidle_seconds = -1\n[blobs]", "limits.idle_seconds"),
        ("[blobs]", "[log]\nformat = 'xml'\n[blobs]", "log.format"),
        ("host = 'USA'", "", "host"),
    ] {
        let error = load(&SMALL.replace(from, to), &[], &[]).unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
    }
}

#[test]
fn database_password_is_never_shown() {
    let config = load(&SMALL.replace("sqlite://data/entente.db", "postgres://u:hunter2@h/d"), &[], &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn validation_reports_every_fault_at_once() {
    let text = SMALL.replace("sqlite://", "mysql://").replace("'blobs'", "'/nowhere/at/all'")
        + "[admin]\nlisten = '0.0.0.0:9080'\n[limits]\nconnections = 0\nheader_bytes = 100\nidle_seconds = 0\n\
           [trust]\ncrl_folder = 'crls'\n";
    let faults = load(&text, &[], &[]).unwrap().validate(Timestamp::UNIX_EPOCH);
    let keys: Vec<_> = faults.iter().map(|fault| fault.key).collect();
    assert_eq!(
        keys,
        [
            "api.certificate",
            "admin.listen",
            "database.url",
            "blobs.folder",
            "trust.crl_folder",
            "limits.connections",
            "limits.idle_seconds",
            "limits.header_bytes"
        ]
    );
    assert!(faults.iter().all(|fault| !fault.help.is_empty()));
}

#[cfg(all(unix, feature = "client"))]
#[test]
fn settings_that_work_have_no_fault_and_an_open_key_is_one() {
    use crate::http::test_pki::{Ca, instant_of_day};
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let server = Ca::new("Server CA").server();
    std::fs::write(path("c.pem"), &server.pem).unwrap();
    std::fs::write(path("k.pem"), server.key.serialize_pem()).unwrap();
    std::fs::write(path("server.toml"), SMALL.replace("'blobs'", "'data/blobs'")).unwrap();
    let config = Config::load(Some(&path("server.toml")), [], &[]).unwrap();
    assert_eq!(config.missing_folders(), [path("data"), path("data/blobs")], "a first start makes them");
    let mode = |mode| std::fs::set_permissions(path("k.pem"), PermissionsExt::from_mode(mode)).unwrap();
    mode(0o600);
    assert_eq!(config.validate(instant_of_day(1)), []);
    mode(0o644);
    let faults = config.validate(instant_of_day(1));
    assert!(matches!(&faults[..], [ConfigFault { key: "api.private_key", .. }]), "{faults:?}");
    mode(0o600);
    let faults = config.validate(instant_of_day(101));
    assert!(matches!(&faults[..], [ConfigFault { key: "api.certificate", .. }]), "{faults:?}");
}
