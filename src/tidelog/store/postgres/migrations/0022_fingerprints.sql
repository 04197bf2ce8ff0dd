-- Fingerprints of what the rows of old segments are found by (tidelog.store.fingerprints): a search looks only into the
-- segments that may have it. Commits make those of the segments that are here already, one after the other.

ALTER TABLE segments ADD COLUMN fingerprints INTEGER NOT NULL DEFAULT -1;
CREATE INDEX segments_fingerprints ON segments (scope, fingerprints, segment);

CREATE TABLE segment_fingerprints (
    scope BIGINT NOT NULL,
    part INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    fingerprints BYTEA NOT NULL,
    PRIMARY KEY (scope, part, segment)
);

CREATE TABLE sections (
    scope BIGINT NOT NULL,
    section INTEGER NOT NULL,
    first INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    PRIMARY KEY (scope, section)
);

CREATE TABLE section_fingerprints (
    scope BIGINT NOT NULL,
    section INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    fingerprints BYTEA NOT NULL,
    PRIMARY KEY (scope, section, bucket)
);

-- Random bytes: they are not compressed, and stay in their row as far as a page has room.
ALTER TABLE segment_fingerprints ALTER COLUMN fingerprints SET STORAGE EXTERNAL;
ALTER TABLE segment_fingerprints SET (toast_tuple_target = 8160);
ALTER TABLE section_fingerprints ALTER COLUMN fingerprints SET STORAGE EXTERNAL;
ALTER TABLE section_fingerprints SET (toast_tuple_target = 8160);
