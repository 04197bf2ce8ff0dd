"""Events and calls of contracts, decoded by their ABI: what topics and data, or a transaction's input, say. Pure.

Source: the Contract ABI Specification of Solidity. tests compare all of this with eth-abi.
"""
