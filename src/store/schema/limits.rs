/// Tables of `limits`.
pub(super) const TABLES: &[&str] = &[];
