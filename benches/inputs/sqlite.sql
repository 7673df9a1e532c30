-- Inserts, an index, joins, grouping, text and a full-text index, all in memory.
PRAGMA temp_store = MEMORY;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount REAL, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
  INSERT INTO customers SELECT i, 'customer ' || (i * 7919 % 5000), i * 31 % 50 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80000)
  INSERT INTO orders SELECT i, i * 104729 % 5000 + 1, (i * 7907 % 100000) / 100.0, printf('order %d of %x', i, i * 65537) FROM n;
COMMIT;
CREATE INDEX by_customer ON orders (customer, amount);
SELECT count(*), round(sum(amount), 2), max(length(note)) FROM orders;
SELECT c.country, count(*), round(avg(o.amount), 3) FROM orders o JOIN customers c ON c.id = o.customer
  GROUP BY c.country ORDER BY 3 DESC LIMIT 5;
SELECT name, (SELECT max(amount) FROM orders WHERE customer = customers.id) AS most FROM customers
  ORDER BY most DESC, name LIMIT 5;
SELECT substr(note, 1, 7) AS start, count(*) FROM orders WHERE note LIKE '%ff%' GROUP BY start ORDER BY 2 DESC, 1 LIMIT 5;
UPDATE orders SET amount = amount * 1.1 WHERE customer % 3 = 0;
DELETE FROM orders WHERE id % 5 = 0;
SELECT count(*), round(sum(amount), 2) FROM orders;
CREATE VIRTUAL TABLE notes USING fts5(body);
INSERT INTO notes SELECT note || ' ' || name FROM orders JOIN customers ON customers.id = customer WHERE orders.id < 20000;
SELECT count(*) FROM notes WHERE notes MATCH 'order AND 7 OR customer';
SELECT sum(rank_of) FROM (SELECT row_number() OVER (PARTITION BY customer ORDER BY amount) AS rank_of FROM orders);
