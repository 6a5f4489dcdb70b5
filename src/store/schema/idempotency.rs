/// Tables of `idempotency`.
pub(super) const TABLES: &[&str] = &[];
