"""A made-up exchange, as unlike Kraken as another one may be: what a second exchange has to bring, and nothing more.

It numbers its books' messages and sends no checksum, answers a request with one ack, and names a book by a number that
the ack gives. `venue` is its folder as the engine knows it; `exchange` is the other side of the socket.
"""
