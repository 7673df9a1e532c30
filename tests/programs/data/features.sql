SELECT 'window', i, sum(i) OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), ntile(3) OVER (ORDER BY i)
  FROM (WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 7) SELECT i FROM n);
SELECT 'json', json_extract('{"a": [1, {"b": "x"}]}', '$.a[1].b'), json_group_array(value) FROM json_each('[3, 1, 2]');
CREATE VIRTUAL TABLE texts USING fts5 (body);
INSERT INTO texts VALUES ('the quick brown fox'), ('a lazy dog sleeps'), ('quick dogs are not foxes');
SELECT 'fts', rowid, highlight(texts, 0, '[', ']') FROM texts WHERE texts MATCH 'quick OR dog' ORDER BY rank, rowid;
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1, y0, y1);
INSERT INTO boxes VALUES (1, 0, 10, 0, 10), (2, 5, 15, 5, 15), (3, 20, 30, 20, 30);
SELECT 'rtree', id FROM boxes WHERE x0 < 12 AND x1 > 9 AND y1 > 9 ORDER BY id;
SELECT 'math', round(sqrt(2), 12), round(sin(1), 12), round(pow(1.5, 20), 6), 7 % -3, -7 / 2, 1 << 40, ~0;
SELECT 'text', upper('äx'), length('äö'), substr('hello', -3, 2), replace('a-b-c', '-', '+'), instr('abc', 'c'), unicode('€');
SELECT 'types', typeof(1), typeof(1.0), typeof('1'), typeof(x'00'), typeof(NULL), 9223372036854775807 + 1, 0.1 + 0.2;
SELECT 'date', date('2024-02-29', '+1 year'), strftime('%j %W', '2026-11-21'), julianday('2000-01-01');
WITH RECURSIVE m (i, x) AS (SELECT 0, 0.5 UNION ALL SELECT i + 1, 3.7 * x * (1 - x) FROM m WHERE i < 50000)
SELECT 'logistic', i, round(x, 3) FROM m WHERE i % 10000 = 5;
CREATE TABLE sudoku (s);
INSERT INTO sudoku VALUES ('53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79');
WITH RECURSIVE
  digits (z, lp) AS (VALUES ('1', 1) UNION ALL SELECT CAST(lp + 1 AS TEXT), lp + 1 FROM digits WHERE lp < 9),
  x (s, ind) AS (
    SELECT s, instr(s, '.') FROM sudoku
    UNION ALL
    SELECT substr(s, 1, ind - 1) || z || substr(s, ind + 1), instr(substr(s, 1, ind - 1) || z || substr(s, ind + 1), '.')
      FROM x, digits AS z
     WHERE ind > 0
       AND NOT EXISTS (
         SELECT 1 FROM digits AS lp
          WHERE z.z = substr(s, ((ind - 1) / 9) * 9 + lp, 1)
             OR z.z = substr(s, ((ind - 1) % 9) + (lp - 1) * 9 + 1, 1)
             OR z.z = substr(s, (((ind - 1) / 3) % 3) * 3 + ((ind - 1) / 27) * 27 + lp + ((lp - 1) / 3) * 6, 1)))
SELECT 'sudoku', s FROM x WHERE ind = 0;
