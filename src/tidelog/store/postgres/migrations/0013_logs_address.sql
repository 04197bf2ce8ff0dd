-- See 0010.

DROP INDEX logs_address;
DROP INDEX logs_address_hex;
CREATE INDEX logs_address ON logs (segment, ('0x' || encode(address, 'hex')), block_number);
