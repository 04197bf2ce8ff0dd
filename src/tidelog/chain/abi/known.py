"""ABIs that have a name here: standards and well-known contracts.

Sources: EIP-20, 721, 1155, 4626; the deployed WETH9; Uniswap's v2-core and v3-core.
"""

from functools import cache

from tidelog.chain.abi.entries import Abi
from tidelog.chain.abi.signatures import parse_event, parse_function
from tidelog.errors import ConfigError

__all__ = ["KNOWN", "known_abi"]

_ERC20 = """
event Transfer(address indexed from, address indexed to, uint256 value)
event Approval(address indexed owner, address indexed spender, uint256 value)
function transfer(address to, uint256 value)
function approve(address spender, uint256 value)
function transferFrom(address from, address to, uint256 value)
"""

_TEXTS = {
    "erc20": _ERC20,
    "erc721": """
event Transfer(address indexed from, address indexed to, uint256 indexed tokenId)
event Approval(address indexed owner, address indexed approved, uint256 indexed tokenId)
event ApprovalForAll(address indexed owner, address indexed operator, bool approved)
function approve(address to, uint256 tokenId)
function setApprovalForAll(address operator, bool approved)
function transferFrom(address from, address to, uint256 tokenId)
function safeTransferFrom(address from, address to, uint256 tokenId)
function safeTransferFrom(address from, address to, uint256 tokenId, bytes data)
""",
    "erc1155": """
event TransferSingle(address indexed operator, address indexed from, address indexed to, uint256 id, uint256 value)
event TransferBatch(address indexed operator, address indexed from, address indexed to, uint256[] ids, uint256[] values)
event ApprovalForAll(address indexed account, address indexed operator, bool approved)
event URI(string value, uint256 indexed id)
function setApprovalForAll(address operator, bool approved)
function safeTransferFrom(address from, address to, uint256 id, uint256 value, bytes data)
function safeBatchTransferFrom(address from, address to, uint256[] ids, uint256[] values, bytes data)
""",
    "erc4626": f"""
{_ERC20}
event Deposit(address indexed sender, address indexed owner, uint256 assets, uint256 shares)
event Withdraw(address indexed sender, address indexed receiver, address indexed owner, uint256 assets, uint256 shares)
function deposit(uint256 assets, address receiver)
function mint(uint256 shares, address receiver)
function withdraw(uint256 assets, address receiver, address owner)
function redeem(uint256 shares, address receiver, address owner)
""",
    "weth": """
event Approval(address indexed src, address indexed guy, uint256 wad)
event Transfer(address indexed src, address indexed dst, uint256 wad)
event Deposit(address indexed dst, uint256 wad)
event Withdrawal(address indexed src, uint256 wad)
function deposit()
function withdraw(uint256 wad)
function approve(address guy, uint256 wad)
function transfer(address dst, uint256 wad)
function transferFrom(address src, address dst, uint256 wad)
""",
    "uniswap_v2_factory": """
event PairCreated(address indexed token0, address indexed token1, address pair, uint256)
function createPair(address tokenA, address tokenB)
""",
    "uniswap_v2_pair": f"""
{_ERC20}
event Mint(address indexed sender, uint256 amount0, uint256 amount1)
event Burn(address indexed sender, uint256 amount0, uint256 amount1, address indexed to)
event Swap(address indexed sender, uint256 amount0In, uint256 amount1In, uint256 amount0Out, uint256 amount1Out, \
address indexed to)
event Sync(uint112 reserve0, uint112 reserve1)
function mint(address to)
function burn(address to)
function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes data)
function skim(address to)
function sync()
""",
    "uniswap_v3_factory": """
event OwnerChanged(address indexed oldOwner, address indexed newOwner)
event PoolCreated(address indexed token0, address indexed token1, uint24 indexed fee, int24 tickSpacing, address pool)
event FeeAmountEnabled(uint24 indexed fee, int24 indexed tickSpacing)
function createPool(address tokenA, address tokenB, uint24 fee)
""",
    "uniswap_v3_pool": """
event Initialize(uint160 sqrtPriceX96, int24 tick)
event Mint(address sender, address indexed owner, int24 indexed tickLower, int24 indexed tickUpper, uint128 amount, \
uint256 amount0, uint256 amount1)
event Collect(address indexed owner, address recipient, int24 indexed tickLower, int24 indexed tickUpper, \
uint128 amount0, uint128 amount1)
event Burn(address indexed owner, int24 indexed tickLower, int24 indexed tickUpper, uint128 amount, uint256 amount0, \
uint256 amount1)
event Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, uint160 sqrtPriceX96, \
uint128 liquidity, int24 tick)
event Flash(address indexed sender, address indexed recipient, uint256 amount0, uint256 amount1, uint256 paid0, \
uint256 paid1)
event IncreaseObservationCardinalityNext(uint16 observationCardinalityNextOld, uint16 observationCardinalityNextNew)
event SetFeeProtocol(uint8 feeProtocol0Old, uint8 feeProtocol1Old, uint8 feeProtocol0New, uint8 feeProtocol1New)
event CollectProtocol(address indexed sender, address indexed recipient, uint128 amount0, uint128 amount1)
function initialize(uint160 sqrtPriceX96)
function mint(address recipient, int24 tickLower, int24 tickUpper, uint128 amount, bytes data)
function collect(address recipient, int24 tickLower, int24 tickUpper, uint128 amount0Requested, \
uint128 amount1Requested)
function burn(int24 tickLower, int24 tickUpper, uint128 amount)
function swap(address recipient, bool zeroForOne, int256 amountSpecified, uint160 sqrtPriceLimitX96, bytes data)
function flash(address recipient, uint256 amount0, uint256 amount1, bytes data)
""",
}

KNOWN = tuple(_TEXTS)


@cache
def known_abi(name: str) -> Abi:
    """ConfigError: no ABI has this name."""
    if name not in _TEXTS:
        raise ConfigError(f"no ABI is named {name[:80]!r} here: there are {', '.join(KNOWN)}")
    lines = [line for line in _TEXTS[name].splitlines() if line]
    return Abi(
        tuple(parse_event(line) for line in lines if line.startswith("event ")),
        tuple(parse_function(line) for line in lines if line.startswith("function ")),
    )
