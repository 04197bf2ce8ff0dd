"""One frame of each shape in both protocols, from the exchange's documentation: what the codec tests walk."""

V2 = {
    "status": b'{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
    b'"api_version":"v2","connection_id":12072546403441331453}]}',
    "heartbeat": b'{"channel":"heartbeat"}',
    "pong": b'{"method":"pong","req_id":101,"time_in":"2023-09-24T14:10:23.799685Z",'
    b'"time_out":"2023-09-24T14:10:23.799703Z"}',
    "book snapshot": b'{"channel":"book","type":"snapshot","data":[{"symbol":"MATIC/USD","bids":'
    b'[{"price":0.5666,"qty":4831.75496356}],"asks":[{"price":0.5668,"qty":4410.79769741}],'
    b'"checksum":2439117997}]}',
    "book update": b'{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":'
    b'[{"price":0.5657,"qty":1098.3947558}],"asks":[],"checksum":2114181697,'
    b'"timestamp":"2023-10-06T17:35:55.440295Z"}]}',
    "trade": b'{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,'
    b'"qty":40.00000000,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}',
    "ticker": b'{"channel":"ticker","type":"snapshot","data":[{"symbol":"ALGO/USD","bid":0.10025,'
    b'"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,'
    b'"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17}]}',
    "ohlc": b'{"channel":"ohlc","type":"update","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,'
    b'"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,'
    b'"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,'
    b'"timestamp":"2023-10-04T16:30:00.000000Z"}]}',
    "instrument": b'{"channel":"instrument","type":"snapshot","data":{"assets":[{"id":"USD","precision":4}],'
    b'"pairs":[{"symbol":"BTC/USD","base":"BTC","quote":"USD","status":"online","qty_precision":8,'
    b'"qty_increment":1E-8,"price_precision":1,"cost_precision":5,"marginable":true,"has_index":true,'
    b'"cost_min":0.50,"price_increment":0.1,"qty_min":0.0001}]}}',
    "subscribed": b'{"method":"subscribe","req_id":1,"result":{"channel":"book","depth":10,"snapshot":true,'
    b'"symbol":"BTC/USD"},"success":true,"time_in":"2023-10-06T17:35:55.219022Z",'
    b'"time_out":"2023-10-06T17:35:55.219067Z"}',
    "unsubscribed": b'{"method":"unsubscribe","req_id":2,"result":{"channel":"trade","symbol":"BTC/USD",'
    b'"warnings":["late"]},"success":true}',
    "refused": b'{"error":"Currency pair not supported XX/USD","method":"subscribe","req_id":3,'
    b'"success":false,"symbol":"XX/USD","time_in":"2023-10-06T17:35:55.219022Z"}',
    "refused bare": b'{"error":"Event(s) not found","method":"subscribe","success":false}',
    "too fast": b'{"Error":"Exceeded msg rate"}',
    "executions": b'{"channel":"executions","type":"update","data":[{"order_id":"OK4GJX-KSTLS-7DZZO5",'
    b'"exec_id":"TXGLTL-Y6VHO-MBVFNT","exec_type":"trade","trade_id":365573,"symbol":"BTC/USD",'
    b'"side":"sell","last_qty":0.005,"last_price":26599.9,"cost":132.9995,"liquidity_ind":"t",'
    b'"order_status":"filled","order_type":"market","fees":[{"asset":"USD","qty":0.3458}],'
    b'"timestamp":"2023-09-22T10:33:05.709982Z"},{"order_id":"OHOXWJ-3HO33-ZJRAJ4","exec_type":"new",'
    b'"order_status":"new","symbol":"BTC/USD","side":"buy","order_qty":0.10,"limit_price":26500.0,'
    b'"timestamp":"2023-09-22T10:33:05.709982Z"}],"sequence":10}',
    "balances": b'{"channel":"balances","type":"update","data":[{"ledger_id":"DATKX6-PEHL5-B73JTE",'
    b'"timestamp":"2023-09-25T14:04:28.197Z","type":"trade","asset":"BTC","amount":-0.0050000000,'
    b'"balance":0.0956281208,"fee":0.0000000000}],"sequence":5}',
    "unknown channel": b'{"channel":"level3","type":"update","data":[{"symbol":"BTC/USD"}]}',
    "unknown method": b'{"method":"add_order","result":{"order_id":"x"},"success":true}',
}

V1 = {
    "status": b'{"connectionID":18239578009413566319,"event":"systemStatus","status":"online","version":"1.8.3"}',
    "heartbeat": b'{"event":"heartbeat"}',
    "pong": b'{"event":"pong","reqid":7}',
    "book snapshot": b'[336,{"as":[["27120.00000","4.28732553","1693415327.935623"]],'
    b'"bs":[["27119.90000","13.54067548","1693415328.088361"]]},"book-10","XBT/USD"]',
    "book update": b'[336,{"b":[["27117.40000","0.00000000","1693415330.886651"],'
    b'["27116.80000","0.14741986","1693415325.036931","r"]],"c":"3139033408"},"book-10","XBT/USD"]',
    "book update of both sides": b'[1920,{"a":[["0.01","1.0","1.000000"]]},{"b":[["0.009","2.0","1.000000"]],'
    b'"c":"4105471083"},"book-1000","SC/EUR"]',
    "trade": b'[170,[["0.01136500","2.51146536","1561939201.587070","s","l",""],'
    b'["0.01136600","1.00000000","1561939201.587071","b","m",""]],"trade","LTC/XBT"]',
    "ticker": b'[93,{"a":["105.85000",0,"0.46100000"],"b":["105.77000",45,"45.00000000"],'
    b'"c":["105.83000","5.00000000"],"v":["3.0","120.00000000"],"p":["1.0","106.00000"],"t":[1,2],'
    b'"l":["1.0","100.00000"],"h":["1.0","110.00000"],"o":["1.0","101.00000"]},"ticker","XMR/USD"]',
    "ohlc": b'[42,["1542057314.748456","1542057360.000000","3586.70000","3586.70000","3586.60000",'
    b'"3586.60000","3586.68894","0.03373000",2],"ohlc-5","XBT/USD"]',
    "spread": b'[325,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread","XBT/USD"]',
    "subscribed": b'{"channelID":336,"channelName":"book-10","event":"subscriptionStatus","pair":"XBT/USD",'
    b'"reqid":42,"status":"subscribed","subscription":{"depth":10,"name":"book"}}',
    "unsubscribed": b'{"channelID":3,"channelName":"ohlc-5","event":"subscriptionStatus","pair":"XDG/USD",'
    b'"status":"unsubscribed","subscription":{"interval":5,"name":"ohlc"}}',
    "refused": b'{"errorMessage":"Subscription depth not supported","event":"subscriptionStatus",'
    b'"pair":"XBT/USD","status":"error","subscription":{"depth":42,"name":"book"}}',
    "error": b'{"errorMessage":"Malformed request","event":"error","reqid":3}',
    "too fast": b'{"Error":"Exceeded msg rate"}',
    "own trades": b'[[{"TDLH43-DVQXD-2KHVYY":{"cost":"1000000.00000","fee":"1600.00000",'
    b'"ordertxid":"TDLH43-AAAAA-BBBBBB","ordertype":"limit","pair":"XBT/EUR","price":"100000.00000",'
    b'"time":"1560516023.070651","type":"sell","vol":"10.00000000"}}],"ownTrades",{"sequence":2}]',
    "open orders": b'[[{"OGTT3Y-C6I3P-XRI6HX":{"status":"open","vol":"10.00345345","vol_exec":"0.00000000",'
    b'"avg_price":"0.00000","descr":{"pair":"XBT/EUR","price":"34.50000","type":"sell",'
    b'"ordertype":"limit"}}},{"OGTT3Y-C6I3P-X2I6HX":{"status":"closed"}}],"openOrders",{"sequence":1}]',
    "unknown channel": b'[7,{"x":1},"level3","XBT/USD"]',
    "unknown event": b'{"event":"addOrderStatus","status":"ok"}',
}
