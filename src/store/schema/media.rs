//! Tables of images.

/// `converted`: a row for each image in another format than its Space made, by a digest of the file's address and the
/// format. While it is being made, `holder` is the instance that does, until `expires`. After that it holds the image
/// with its `format`, made at `made`, until its link's end; an empty format stands for an image that isn't converted.
/// `size` is what the row counts for among all, in bytes.
///
/// `kept_image`: parts of images that Spaces have sent inline, of a mebibyte each but for the last. All parts of an
/// image have its `made` and `expires`. `size` is what the part counts for among all, in bytes.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS converted (id TEXT PRIMARY KEY, holder TEXT NOT NULL, format TEXT NOT NULL, \
     size BIGINT NOT NULL, made BIGINT NOT NULL, expires BIGINT NOT NULL, bytes BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS converted_by_age ON converted (made, size)",
    "CREATE INDEX IF NOT EXISTS converted_by_expiry ON converted (expires)",
    // Since version 3.
    "CREATE TABLE IF NOT EXISTS kept_image (id TEXT NOT NULL, part BIGINT NOT NULL, size BIGINT NOT NULL, \
     made BIGINT NOT NULL, expires BIGINT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (id, part))",
    "CREATE INDEX IF NOT EXISTS kept_image_by_age ON kept_image (made, size)",
    "CREATE INDEX IF NOT EXISTS kept_image_by_expiry ON kept_image (expires)",
];
