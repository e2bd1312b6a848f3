//! The guide's table of the client names the methods that there are, each in the row of its file or folder.

use super::source::{production, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

type Rows = BTreeMap<String, BTreeSet<String>>;

/// The public methods of `Client`, by the file in `src/client/` or the folder in it.
fn methods() -> Rows {
    let mut found = Rows::new();
    for source in production() {
        let Some(place) = source.name.strip_prefix("client/") else { continue };
        let place = place.split_once('/').map_or_else(|| format!("{place}.rs"), |(folder, _)| format!("{folder}/"));
        let mut is_within = false;
        for (_, line) in source.lines() {
            is_within = if is_within { line != "}" } else { line == "impl Client {" };
            let method = line.strip_prefix("    pub ").filter(|_| is_within).and_then(|line| {
                let line = line.strip_prefix("async ").or_else(|| line.strip_prefix("const ")).unwrap_or(line);
                line.strip_prefix("fn ")?.split(['(', '<']).next()
            });
            if let Some(method) = method {
                found.entry(place.clone()).or_default().insert(method.to_owned());
            }
        }
    }
    found
}

/// What the guide says, up to the functions that need no client.
fn described() -> Rows {
    let guide = fs::read_to_string(root().join("docs/GUIDE.md")).unwrap();
    let (_, section) = guide.split_once("\n## Where each method of the client lives\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| {
        let (place, methods) = line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")?;
        let methods = methods.split("function").next().unwrap();
        Some((place.to_owned(), methods.split('`').skip(1).step_by(2).map(str::to_owned).collect()))
    });
    rows.collect()
}

#[test]
fn guide_names_every_method_of_the_client() {
    let (mut methods, mut described) = (methods(), described());
    let forecasts = methods.remove("forecast/").unwrap();
    assert!(forecasts.iter().all(|method| method.starts_with("forecast_")), "{forecasts:?}");
    assert!(described.remove("forecast/").is_some());
    // Rows of functions alone.
    described.retain(|_, methods| !methods.is_empty());
    assert!(methods.len() > 15, "{methods:?}");
    let places: BTreeSet<&String> = methods.keys().chain(described.keys()).collect();
    for place in places {
        assert_eq!(described.get(place), methods.get(place), "left is what docs/GUIDE.md says of {place}");
    }
}
