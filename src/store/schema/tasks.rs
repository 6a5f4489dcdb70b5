/// Tables of `tasks`.
pub(super) const TABLES: &[&str] = &[];
