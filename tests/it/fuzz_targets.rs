//! The fuzz targets compile against the code as it is, and take a few bytes. Fuzzing itself needs a nightly toolchain (`just fuzz`).
//!
//! They are read as modules, with a stand-in for the one macro of `libfuzzer-sys`: a build of their own crate would check all
//! dependencies once more.

use std::{collections::BTreeSet, fs, path::Path};

macro_rules! targets {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[expect(unused_attributes, reason = "`no_main` is for the binary that the file is elsewhere")]
            #[path = $file]
            mod $name;
        )*

        const FILES: &[&str] = &[$($file),*];
    };
}

targets! {
    age_header: "../../fuzz/fuzz_targets/age_header.rs",
    anchors: "../../fuzz/fuzz_targets/anchors.rs",
    bodies: "../../fuzz/fuzz_targets/bodies.rs",
    held_keys: "../../fuzz/fuzz_targets/held_keys.rs",
    policies: "../../fuzz/fuzz_targets/policies.rs",
    statements: "../../fuzz/fuzz_targets/statements.rs",
}

/// In the place of the macro of `libfuzzer-sys`: a function that takes one input.
macro_rules! fuzz_target {
    (|$input:ident: $type:ty| $body:block) => {
        pub(crate) fn run($input: $type) $body
    };
}
pub(crate) use fuzz_target;

#[test]
fn fuzz_targets_compile_and_take_bytes() {
    for text in ["", "{}", "[]", "age-encryption.org/v1\n", "permit(principal, action, resource);", "\u{fffd}\0"] {
        let bytes = text.as_bytes();
        age_header::run((bytes, 3));
        anchors::run(bytes);
        bodies::run(bytes);
        held_keys::run(bytes);
        policies::run(text);
        statements::run(bytes);
    }
}

#[test]
fn every_fuzz_target_is_compiled_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap();
    let there: BTreeSet<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let here = FILES.iter().map(|file| file.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(there, here);
}
