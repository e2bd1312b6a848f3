//! The repository's own files are installed: those that packages and images are made of, and settings that come with them.

use entente::http::config::Config;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const RELEASE: &str = "scripts/release";
const COMPOSE: &str = "docker-compose.yml";
const KUBERNETES: &str = "examples/kubernetes/entente.yaml";

/// The account in the image, and so in whatever runs it.
const ACCOUNT: &str = "65532";

#[test]
fn every_file_that_a_release_is_made_of_is_there() {
    let script = read(RELEASE);
    let words = script.split(|c: char| c.is_whitespace() || "\"'(){}=;,`".contains(c));
    let roots = ["docs/", "examples/", "packaging/", "migrations/", "policies/"];
    let pages = ["README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"];
    let named = words.filter(|word| roots.iter().any(|root| word.starts_with(root)) || pages.contains(word));
    let named: Vec<&str> = named.filter(|word| !word.contains(['$', '*', ':'])).collect();
    assert!(named.len() > 10, "{named:?}");
    assert_there(RELEASE, &named);
}

#[test]
fn release_without_a_maintainer_who_can_be_reached_is_not_begun() {
    for (maintainer, wanted) in [
        (None, "ENTENTE_MAINTAINER is not set"),
        (Some(""), "ENTENTE_MAINTAINER is not set"),
        (Some("packages@example.org"), "write it as a name and an address"),
        (Some("Jane Doe <packages>"), "write it as a name and an address"),
        (Some("Jane Doe <packages@entente.invalid>"), "write it as a name and an address"),
        (Some("Jane\nEssential: yes <packages@example.org>"), "write it as a name and an address"),
        (Some("Jane Doe <packages@example.org>\nEssential: yes"), "write it as a name and an address"),
    ] {
        let mut command = Command::new(root().join(RELEASE));
        command.env_remove("ENTENTE_MAINTAINER");
        command.envs(maintainer.map(|maintainer| ("ENTENTE_MAINTAINER", maintainer)));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(wanted), "{maintainer:?}: {said}");
        assert!(said.contains("Jane Doe <packages@example.org>"), "it says what to write: {said}");
    }
}

#[test]
fn everything_that_is_released_comes_with_the_licences_of_its_libraries() {
    let (release, workflow, script) = (read(RELEASE), read(".github/workflows/release.yml"), "scripts/third-party");
    assert_there(RELEASE, &[script]);
    // The client's archives for macOS and Windows, and on Linux one for each program.
    assert_eq!(workflow.matches(script).count(), 1);
    assert!(workflow.contains(">\"$name/third-party.txt\""));
    assert_eq!(release.matches(script).count(), 2);
    assert!(!release.contains(&format!("$repository/{script}")), "it is that of the commit which is released");
}

#[test]
fn pages_that_the_client_names_come_with_it() {
    let (release, workflow) = (read(RELEASE), read(".github/workflows/release.yml"));
    let listed = |list: &str| {
        let (_, rest) = release.split_once(&format!("\n{list}=(")).unwrap();
        rest.split(')').next().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let packed = [listed("pages"), listed("client_pages")].concat();
    let copied: Vec<&str> = workflow.lines().filter(|line| line.trim().starts_with("cp ")).collect();
    let copied: Vec<&str> = copied.iter().flat_map(|line| line.split_whitespace()).collect();
    let mut named = BTreeSet::new();
    for path in [sources("src/cli"), sources("src/client")].concat() {
        let text = fs::read_to_string(path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c));
        let words = words.map(|word| word.trim_start_matches(['.', '/']).trim_end_matches('.'));
        let is_page = |word: &&str| Path::new(word).extension().is_some_and(|extension| extension == "md");
        let words = words.filter(is_page).filter(|word| word.starts_with("docs/") || *word == "SECURITY.md");
        named.extend(words.map(str::to_owned));
    }
    assert!(named.len() > 3, "{named:?}");
    for page in named {
        assert!(packed.contains(&page), "{RELEASE}: the client names {page}, and its packages do not have it");
        assert!(copied.contains(&page.as_str()), "the client names {page}, and its archives do not have it");
    }
}

/// The sources below a folder.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(path.strip_prefix(root()).unwrap().to_str().unwrap()));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_file_that_the_image_is_made_of_is_there() {
    let dockerfile = read("Dockerfile");
    let copies =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.contains("--from="));
    let mut sources = Vec::new();
    for copy in copies {
        let words: Vec<&str> = copy.split(' ').filter(|word| !word.starts_with("--")).collect();
        sources.extend_from_slice(&words[..words.len() - 1]);
    }
    assert_there("Dockerfile", &sources);
    // Cargo wants the folder of every target that the manifest names.
    for folder in ["benches", "examples", "src"] {
        assert!(sources.contains(&folder), "the image is built without `{folder}`");
    }
}

#[test]
fn units_start_what_the_packages_install() {
    let units = fs::read_dir(root().join("examples/systemd")).unwrap().map(|entry| entry.unwrap().path());
    let release = read(RELEASE);
    for unit in units {
        let name = unit.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&unit).unwrap();
        assert!(release.contains(&format!("examples/systemd/{name}")), "no package has {name}");
        for program in text.lines().filter_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next()) {
            let known = ["/usr/bin/entente", "/usr/bin/entente-server", "/bin/sh"];
            assert!(known.contains(&program), "{name}: {program}");
        }
        for page in text.lines().filter_map(|line| line.strip_prefix("Documentation=file:///usr/share/doc/")) {
            let (package, page) = page.split_once('/').unwrap();
            assert!(["entente", "entente-server"].contains(&package), "{name}: {package}");
            assert!(release.contains(&format!("docs/{page}")), "{name}: no package has docs/{page}");
        }
    }
    assert!(read("examples/systemd/entente-server.service").lines().any(|line| line == "Type=notify"));
}

#[test]
fn settings_that_come_with_packages_and_containers_are_settings() {
    let database = "postgres://postgres/entente".to_owned();
    let environment = || [("ENTENTE_DATABASE__URL".to_owned(), database.clone())];
    let folder = tempfile::tempdir().unwrap();
    for (place, text) in [
        ("packaging/server.toml", read("packaging/server.toml")),
        (COMPOSE, block(&read(COMPOSE), "content: |")),
        (KUBERNETES, block(&read(KUBERNETES), "server.toml: |")),
    ] {
        let file = folder.path().join("server.toml");
        fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file), environment(), &[]).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(config.blobs.folder, Path::new("/var/lib/entente/blobs"), "{place}");
        assert_eq!(config.api.listen, ([0, 0, 0, 0], 8443).into(), "{place}");
        assert_eq!(config.admin.listen, ([127, 0, 0, 1], 9080).into(), "{place}");
    }
}

#[test]
fn containers_run_confined_and_are_asked_by_the_program_itself() {
    let (image, compose, kubernetes) = (read("Dockerfile"), read(COMPOSE), read(KUBERNETES));
    assert!(image.contains(&format!("USER {ACCOUNT}:{ACCOUNT}\n")) && image.contains("\"health\"]"));
    for confinement in ["read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "health]"] {
        assert!(compose.contains(confinement), "{COMPOSE}: {confinement}");
    }
    for confinement in [
        &format!("runAsUser: {ACCOUNT}"),
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "drop: [ALL]",
        "type: RuntimeDefault",
        "health]",
    ] {
        assert!(kubernetes.contains(confinement), "{KUBERNETES}: {confinement}");
    }
}

/// The text of a literal block of YAML, without its indentation.
fn block(yaml: &str, key: &str) -> String {
    let (before, rest) = yaml.split_once(&format!("{key}\n")).unwrap_or_else(|| panic!("no `{key}`"));
    let indent = before.rsplit('\n').next().unwrap().chars().take_while(|c| *c == ' ').count() + 1;
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with(&" ".repeat(indent)));
    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
}

fn assert_there(place: &str, named: &[&str]) {
    let missing: Vec<_> = named.iter().filter(|name| !root().join(name).exists()).collect();
    assert!(!named.is_empty() && missing.is_empty(), "{place}: {missing:?}");
}

fn read(path: &str) -> String {
    let path: PathBuf = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
