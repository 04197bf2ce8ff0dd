-- Fingerprints of what the rows of old segments are found by (tidelog.store.fingerprints): a search looks only into the
-- segments that may have it. Commits make those of the segments that are here already, one after the other.

ALTER TABLE segments ADD COLUMN fingerprints INTEGER NOT NULL DEFAULT -1;
CREATE INDEX segments_fingerprints ON segments (scope, fingerprints, segment);

CREATE TABLE segment_fingerprints (
    scope INTEGER NOT NULL,
    part INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    fingerprints BLOB NOT NULL,
    PRIMARY KEY (scope, part, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE sections (
    scope INTEGER NOT NULL,
    section INTEGER NOT NULL,
    first INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    PRIMARY KEY (scope, section)
) STRICT, WITHOUT ROWID;

CREATE TABLE section_fingerprints (
    scope INTEGER NOT NULL,
    section INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    fingerprints BLOB NOT NULL,
    PRIMARY KEY (scope, section, bucket)
) STRICT, WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('segments', 'segments_fingerprints', '300 300 100 1'),
    ('segment_fingerprints', 'segment_fingerprints', '100000 100000 300 1'),
    ('sections', 'sections', '300 300 1'),
    ('section_fingerprints', 'section_fingerprints', '20000000 20000000 65536 1');
ANALYZE sqlite_schema;
