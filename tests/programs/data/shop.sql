PRAGMA journal_mode = DELETE;
BEGIN;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers, amount REAL CHECK (amount > 0), note TEXT);
CREATE INDEX orders_by_customer ON orders (customer, amount);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
INSERT INTO customers SELECT i, printf('customer-%03d', i) FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO orders SELECT i, 1 + (i * 7919) % 100, 1 + (i * 104729) % 9973 / 10.0, hex(i * i) FROM n;
COMMIT;
SELECT count(*), round(avg(amount), 6), max(length(note)) FROM orders;
EXPLAIN QUERY PLAN SELECT * FROM orders WHERE customer = 5 AND amount > 100;
BEGIN;
UPDATE orders SET amount = amount * 2 WHERE customer % 2 = 0;
SELECT round(sum(amount), 1) FROM orders;
ROLLBACK;
SELECT round(sum(amount), 1) FROM orders;
