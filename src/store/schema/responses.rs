/// Tables of `responses`.
pub(super) const TABLES: &[&str] = &[];
