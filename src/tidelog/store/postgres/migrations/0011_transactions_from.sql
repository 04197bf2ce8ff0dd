-- See 0010.

DROP INDEX transactions_from;
DROP INDEX transactions_from_address_hex;
CREATE INDEX transactions_from ON transactions (segment, ('0x' || encode(from_address, 'hex')), block_number);
