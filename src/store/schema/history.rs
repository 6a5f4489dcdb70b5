/// Tables of `history`.
pub(super) const TABLES: &[&str] = &[];
