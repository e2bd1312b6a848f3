//! One cell of a table: what people see, and the whole value for programs that read CSV. It never decides where it is cut.

/// A value under a heading. What people see may be shorter or in their own zone; what programs get never is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableCell {
    shown: String,
    exact: Option<String>,
    /// The zone of the instants that people see in it.
    zone: Option<String>,
}

impl TableCell {
    /// A value that people see in another form than programs get it in.
    pub(super) fn new(shown: impl Into<String>, exact: impl Into<String>) -> Self {
        Self { shown: shown.into(), exact: Some(exact.into()), zone: None }
    }

    /// The same, with instants in the zone of this name as people see it.
    pub(super) fn in_zone(self, name: &str) -> Self {
        Self { zone: Some(name.to_owned()), ..self }
    }

    /// A number of bytes, for people in the unit that suits it.
    pub(super) fn bytes(bytes: u64) -> Self {
        Self::new(size(bytes), bytes.to_string())
    }

    /// What people see; a dash where there is nothing.
    pub(super) fn shown(&self) -> &str {
        if self.shown.is_empty() { "-" } else { &self.shown }
    }

    /// The whole value, empty where there is none.
    pub(super) fn exact(&self) -> &str {
        self.exact.as_deref().unwrap_or(&self.shown)
    }

    /// The zone whose times people see in it.
    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }
}

impl From<String> for TableCell {
    fn from(shown: String) -> Self {
        Self { shown, ..Self::default() }
    }
}

impl From<&str> for TableCell {
    fn from(shown: &str) -> Self {
        shown.to_owned().into()
    }
}

/// A number of bytes in the unit that suits it: `370 B`, `25 MiB`, `1.5 GiB`.
pub(super) fn size(bytes: u64) -> String {
    let (mut unit, mut units) = ("B", ["KiB", "MiB", "GiB", "TiB"].into_iter());
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_240 {
        let Some(larger) = units.next() else { break };
        (unit, tenths) = (larger, tenths / 1024);
    }
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_unit_that_suits_them_and_given_in_bytes() {
        let sizes = [(370, "370 B"), (25 << 20, "25 MiB"), (3 << 29, "1.5 GiB"), (1_048_575, "1023.9 KiB")];
        for (bytes, said) in sizes {
            let cell = TableCell::bytes(bytes);
            assert_eq!((cell.shown(), cell.exact()), (said, &*bytes.to_string()));
        }
    }

    #[test]
    fn nothing_is_a_dash_for_people_and_empty_for_programs() {
        let cell = TableCell::from("");
        assert_eq!((cell.shown(), cell.exact()), ("-", ""));
    }
}
