-- Indexes of the tables of contracts' events begin with a segment, as those of transactions and logs do (0009), and the planner
-- is told of them. What these tables are called only the store knows: its code goes through them (sqlite/segments.py).

SELECT 1;
