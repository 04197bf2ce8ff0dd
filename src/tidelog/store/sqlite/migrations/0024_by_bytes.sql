-- PostgreSQL's indexes over texts sort them by their bytes from here on. SQLite's always have.

SELECT 1;
