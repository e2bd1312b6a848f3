//! Everything cryptographic about content: what a sealed file looks like, who signed what, and, on a member's machine
//! only, sealing and opening.
//!
//! The promise "the host cannot read" is held here. The modules that open anything, or touch the age library at all,
//! exist only with the feature `client`; a build of the server has no code that could decrypt, and a test below scans
//! for it. What both sides share are shapes and signatures: [`header`] distinguishes an age file from plaintext without a key,
//! [`jws`] proves who signed which bytes, [`signer`] is what signs, [`card`] and [`statement`] say what the bytes mean.
//!
//! This layer never decides whether somebody *may* do a thing: it says what is proven, callers ask policy.

pub mod canonical;
pub mod card;
pub mod header;
pub mod jws;
pub mod leaf;
pub mod recipient;
pub mod signer;
pub mod statement;
pub mod visibility;

#[cfg(feature = "client")]
pub mod certificates;
#[cfg(feature = "client")]
pub mod held;
#[cfg(feature = "client")]
pub mod identity;
#[cfg(feature = "client")]
pub mod joining;
#[cfg(feature = "client")]
pub mod local_key;
#[cfg(feature = "client")]
mod payload;
#[cfg(feature = "client")]
pub mod possession;
#[cfg(feature = "client")]
pub mod private_key;
#[cfg(feature = "client")]
pub mod seal;
#[cfg(feature = "client")]
pub mod vault;

#[cfg(test)]
#[cfg(feature = "client")]
mod testing;
#[cfg(test)]
#[cfg(feature = "client")]
mod vectors;

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    /// Walks `mod` declarations from `file` and collects the sources that a build without `client` compiles.
    fn sources_without_client(file: &Path, found: &mut Vec<PathBuf>) {
        let text = fs::read_to_string(file).unwrap();
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let parent = file.parent().unwrap();
        let folder =
            if matches!(stem, "mod" | "lib" | "entente-server") { parent.to_owned() } else { parent.join(stem) };
        let (mut client_only, mut elsewhere) = (false, None);
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[cfg(") {
                client_only |= line.contains("feature = \"client\"") && !line.contains("not(");
                continue;
            }
            if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                elsewhere = Some(parent.join(path));
                continue;
            }
            let declared = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ");
            if let Some(name) = declared.and_then(|rest| rest.strip_suffix(';'))
                && !client_only
            {
                let beside = folder.join(format!("{name}.rs"));
                let within = folder.join(name).join("mod.rs");
                let usual = if beside.exists() { beside } else { within };
                sources_without_client(&elsewhere.take().unwrap_or(usual), found);
            }
            (client_only, elsewhere) = (false, None);
        }
        found.push(file.to_owned());
    }

    /// Whether `text` names the crate that can decrypt, as a path or in an import.
    fn names_the_age_crate(text: &str) -> bool {
        ["age", "age_core", "rage"].iter().any(|name| {
            text.match_indices(name).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.' || c == '/');
                let imported = text[..at].ends_with("use ") || text[..at].ends_with("extern crate ");
                whole && (text[at + name.len()..].starts_with("::") || imported)
            })
        })
    }

    #[test]
    fn no_source_of_the_server_names_the_age_crate() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        sources_without_client(&root.join("lib.rs"), &mut found);
        found.push(root.join("bin/entente-server.rs"));
        assert!(found.iter().any(|file| file.ends_with("sealing/header.rs")), "the walk reaches this folder");
        assert!(!found.iter().any(|file| file.ends_with("sealing/seal.rs")), "the walk knows what is for clients");
        for file in found {
            assert!(!names_the_age_crate(&fs::read_to_string(&file).unwrap()), "{}", file.display());
        }
    }

    #[test]
    fn scan_tells_the_crate_from_words_that_end_like_it() {
        for text in ["use a\u{67}e;", "a\u{67}e::Decryptor", " a\u{67}e_core::format", "(r\u{61}ge::x)"] {
            assert!(names_the_age_crate(text), "{text}");
        }
        for text in ["storage::open", "message::Kind", "an age file", "age-encryption.org/v1", "use language;"] {
            assert!(!names_the_age_crate(text), "{text}");
        }
    }
}
