//! The templates of calls that come with the program: each is a call as such calls run, with its dates and its code left blank.

/// Each by its name, which has a hyphen, as no code of a call has.
pub(super) const TEMPLATES: [(&str, &str); 4] = [
    ("bilateral-industry", include_str!("templates/bilateral-industry.toml")),
    ("joint-foundation", include_str!("templates/joint-foundation.toml")),
    ("multilateral-panel", include_str!("templates/multilateral-panel.toml")),
    ("short-first-stage", include_str!("templates/short-first-stage.toml")),
];

/// A file with its blanks filled in, as an officer does.
#[cfg(test)]
pub(super) fn filled_in(file: &str) -> String {
    let values = [
        ("code", "BIRD28"),
        ("opens_at", "2028-01-11 09:00 America/New_York"),
        ("deadline_at", "2028-04-03 17:00 Asia/Jerusalem"),
        ("reviews_due_at", "2028-06-01T00:00:00Z"),
        ("extendable_until", "2028-05-01T00:00:00Z"),
    ];
    let line = |line: &str| {
        let filled = values.iter().find(|(name, _)| line.starts_with(&format!("{name} = \"\"")));
        filled.map_or_else(|| line.to_owned(), |(name, value)| format!("{name} = \"{value}\""))
    };
    file.lines().map(line).collect::<Vec<_>>().join("\n")
}
