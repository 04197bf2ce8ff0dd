"""What the simulation has found, each as the smallest schedule that showed it."""

import pytest

from tidelog.sim.runs.play import play
from tidelog.sim.scenario import schedule as plan

FOUND = {
    # Three blocks that a reorg had dropped, given for their numbers by each endpoint, agreed with each other: one of
    # them became final, and the chain was refused for ever. They have to lead to the block that the tag itself names.
    "dropped blocks that link to each other": (
        '{"kind":"chain","seed":544,"busy_s":56.9,"blocks":8,"replicas":3,"limits":"4 kB an answer, call by call",'
        '"troubled":true,"events":['
        '{"at":{"type":"time","s":34.794},"do":{"type":"lie","name":"key_echoed","replica":2,"probability":1.0,"for_s":9.9}},'
        '{"at":{"type":"time","s":6.31},"do":{"type":"crash","power":0.5}},'
        '{"at":{"type":"time","s":41.404},"do":{"type":"slow","replica":1,"by_s":21.0,"for_s":1.8}},'
        '{"at":{"type":"time","s":0.0},'
        '"do":{"type":"lie","name":"block_stale","replica":null,"probability":1.0,"for_s":200.0}},'
        '{"at":{"type":"time","s":11.795},"do":{"type":"fork","depth":5,"length":5}}]}'
    ),
    # While no endpoint told block 0, the chain was stored without its genesis, and never got it.
    "a genesis that nobody told at first": (
        '{"kind":"chain","seed":524,"busy_s":42.2,"blocks":51,"replicas":3,"held":25,"events":['
        '{"at":{"type":"time","s":35.885},"do":{"type":"crash","power":0.9}},'
        '{"at":{"type":"time","s":0.272},'
        '"do":{"type":"lie","name":"pruned","replica":null,"probability":1.0,"for_s":42.2}}]}'
    ),
    # Trades without ids whose subscription the exchange had ended came with a snapshot once they were asked for again.
    # As the acknowledgement was lost, it was taken for news, and stored once more.
    "trades whose subscription was ended": (
        '{"kind":"market","seed":48,"busy_s":17.4,"protocol":"v1","odd_markets":["thin","tiny","vacant"],"events":['
        '{"at":{"type":"time","s":16.138},"do":{"type":"fault","name":"ack_lost","probability":0.5,"for_s":14.9}},'
        '{"at":{"type":"time","s":5.489},"do":{"type":"fault","name":"subscription_ended","probability":0.5,"for_s":13.3}}]}'
    ),
    # The simulated node itself fell over a lie about an answer that another lie had cut.
    "two lies about one answer": (
        '{"kind":"chain","seed":35,"busy_s":15.0,"blocks":5,"events":['
        '{"at":{"type":"time","s":3.0},"do":{"type":"lie","name":"truncated","replica":0,"probability":1.0,"for_s":9.0}},'
        '{"at":{"type":"time","s":4.0},"do":{"type":"lie","name":"batch_short","replica":0,"probability":1.0,"for_s":9.0}}]}'
    ),
    # The feed read the journal's past before it opened the journal for writing: a file whose making was cut short is an
    # empty database, "not a journal", and no later start could get past it.
    "a journal whose making was cut short": (
        '{"kind":"market","seed":1033,"busy_s":5.0,"protocol":"v1",'
        '"events":[{"at":{"type":"point","name":"disk.sync","nth":5},"do":{"type":"crash","power":0.0}}]}'
    ),
    # The loader's fold kept a book that the feed's own fold had cleared. One that went on told "crossed", and stored a
    # sample, where one that had begun there knew of no book: the store depended on where the loader was restarted.
    "a book that was cleared is not folded on": (
        '{"kind":"market","seed":1037,"busy_s":20.2,"protocol":"v2","events":['
        '{"at":{"type":"time","s":4.522},"do":{"type":"fault","name":"invalid_utf8","probability":0.5,"for_s":14.9}},'
        '{"at":{"type":"time","s":3.848},"do":{"type":"restart"}}]}'
    ),
    # The last record of the journal's past was read outside of what turns SQLite's errors into ours.
    "a disk that cannot read the journal's end": (
        '{"kind":"market","seed":3043,"busy_s":18.4,"protocol":"v2","events":['
        '{"at":{"type":"time","s":14.456},"do":{"type":"takeover"}},'
        '{"at":{"type":"time","s":14.451},"do":{"type":"disk","kind":"read_error","skip":6,"times":3}}]}'
    ),
    # A private channel that began with an update was taken as if its snapshot had come: nobody asked for it again.
    "a private channel without its snapshot": (
        '{"kind":"market","seed":97,"busy_s":31.9,"protocol":"v2","private":["executions","balances"],"events":['
        '{"at":{"type":"time","s":15.447},"do":{"type":"fault","name":"snapshot_lost","probability":0.5,"for_s":8.3}},'
        '{"at":{"type":"time","s":13.96},"do":{"type":"fault","name":"sequence_gap","probability":0.5,"for_s":7.8}}]}'
    ),
    # A book forgot its time when it was left: an old snapshot that was on its way passed as proven.
    "an old snapshot after a refused update": (
        '{"kind":"market","seed":172,"busy_s":33.9,"protocol":"v2","events":['
        '{"at":{"type":"time","s":29.472},"do":{"type":"fault","name":"snapshot_lost","probability":0.5,"for_s":9.8}},'
        '{"at":{"type":"time","s":28.516},"do":{"type":"fault","name":"snapshot_old","probability":1.0,"for_s":12.9}}]}'
    ),
    # A resync of the only private channel lets its token expire. The refusal was taken for one of the channel's, and
    # the same token shown again, until the exchange ended the connection for being idle.
    "a token that expired on the connection": (
        '{"kind":"market","seed":4,"busy_s":32.9,"protocol":"v2","private":["executions"],"events":['
        '{"at":{"type":"time","s":3.322},"do":{"type":"fault","name":"sequence_gap","probability":0.1,"for_s":6.5}}]}'
    ),
    # v1 promises no trades at the start: a subscription that was acknowledged and never brought any was never doubted.
    "trades that never come": (
        '{"kind":"market","seed":1341,"busy_s":23.1,"protocol":"v1","events":['
        '{"at":{"type":"time","s":10.328},"do":{"type":"crash","power":0.0}},'
        '{"at":{"type":"time","s":1.347},"do":{"type":"fault","name":"stall","probability":0.5,"for_s":14.1}}]}'
    ),
    # A symbol that was given up, and wanted again before a throttled feed could leave it, stayed acknowledged: no book.
    "a book that is wanted again before it was left": (
        '{"kind":"market","seed":2308,"busy_s":15.0,"protocol":"v2","events":['
        '{"at":{"type":"time","s":13.596},"do":{"type":"churn","reads":13,"symbol":"ETH/USD"}},'
        '{"at":{"type":"time","s":6.434},"do":{"type":"fault","name":"rate_exceeded","probability":0.5,"for_s":17.7}},'
        '{"at":{"type":"time","s":1.123},"do":{"type":"fault","name":"close_1011","probability":0.02,"for_s":6.0}},'
        '{"at":{"type":"time","s":3.425},"do":{"type":"churn","reads":14,"symbol":null}},'
        '{"at":{"type":"time","s":0.388},"do":{"type":"fault","name":"huge","probability":0.02,"for_s":11.1}}]}'
    ),
    # What was left of a wait was a span too short to move the clock: the wait for an endpoint set aside went round and
    # round at one moment. It is a moment to come now, which a clock always reaches.
    "a wait that is shorter than the clock can tell": (
        '{"kind":"chain","seed":458,"busy_s":62.7,"replicas":3,"blocks":23,"heads":true,"limits":"no batches",'
        '"events":[{"at":{"type":"time","s":19.313},"do":{"type":"grow","count":17}},'
        '{"at":{"type":"time","s":28.835},"do":{"type":"lag","replica":2,"blocks":4,"for_s":4.2}},'
        '{"at":{"type":"point","name":"store.committed","nth":12},"do":{"type":"fork","depth":10,"length":12}},'
        '{"at":{"type":"time","s":33.854},"do":{"type":"takeover"}},'
        '{"at":{"type":"point","name":"ledger.before_commit","nth":10},"do":{"type":"fork","depth":7,"length":8}},'
        '{"at":{"type":"time","s":5.298},"do":{"type":"lie","name":"throttle_silent","replica":1,"probability":0.5,"for_s":16.5}},'
        '{"at":{"type":"time","s":14.729},"do":{"type":"fork","depth":9,"length":8}},'
        '{"at":{"type":"time","s":20.63},"do":{"type":"uncertain","times":2}},'
        '{"at":{"type":"time","s":21.769},"do":{"type":"lie","name":"new_heads_stall","replica":0,"probability":1.0,"for_s":200.0}},'
        '{"at":{"type":"time","s":7.689},"do":{"type":"down","replica":0,"for_s":3.6}},'
        '{"at":{"type":"time","s":0.0},"do":{"type":"lie","name":"odd_contract_zero","replica":2,"probability":1.0,"for_s":62.7}},'
        '{"at":{"type":"time","s":0.0},"do":{"type":"lie","name":"odd_logs_null","replica":2,"probability":1.0,"for_s":62.7}}]}'
    ),
    # Trades without ids are numbered within their moment. A snapshot that begins in the middle of one gave its last
    # trades the numbers of the first: they were stored once more, and counted twice in the candles.
    "a snapshot that begins in the middle of a moment": (
        '{"kind":"market","seed":7,"busy_s":15.0,"protocol":"v1","events":['
        '{"at":{"type":"time","s":9.0},"do":{"type":"restart"}}]}'
    ),
    # The calm time began while snapshots that had been lost were still awaited: the cure was taken for a needless one.
    "snapshots that are lost when the exchange turns honest": (
        '{"kind":"market","seed":1,"busy_s":6.0,"protocol":"v2","markets":6,"calm_s":60.0,"events":['
        '{"at":{"type":"time","s":3.0},"do":{"type":"fault","name":"snapshot_lost","probability":1.0,"for_s":3.0}},'
        '{"at":{"type":"time","s":4.0},"do":{"type":"cut","code":1006}}]}'
    ),
    # The error that ended the first look at a file was hidden by that of its rollback: a publisher took a read that had
    # failed for a damaged journal, and ended for good.
    "a disk that cannot read a journal's head": (
        '{"kind":"market","seed":38,"busy_s":19.3,"protocol":"v2","stream":"events","events":['
        '{"at":{"type":"time","s":14.058},"do":{"type":"disk","kind":"read_error","skip":13,"times":1}},'
        '{"at":{"type":"time","s":13.441},"do":{"type":"stream_kill","who":"publisher"}},'
        '{"at":{"type":"time","s":3.505},"do":{"type":"stream_kill","who":"publisher"}}]}'
    ),
    # Of a header whose fields had names in snake case all of them were kept once more, as what the node adds.
    "headers of a selection in snake case": (
        '{"kind":"chain","seed":29,"busy_s":6.0,"blocks":30,"contracts":true,"selection":true,"events":['
        '{"at":{"type":"time","s":0.0},"do":{"type":"lie","name":"odd_snake_case","replica":0,"probability":1.0,"for_s":6.0}}]}'
    ),
    # The judge of a stream compared prices as texts: of a trade that came again once its market had more decimals, the
    # store has the first text and the stream both.
    "a market that gets more decimals, and a stream": (
        '{"kind":"market","seed":11,"busy_s":18.6,"protocol":"v2","stream":"events","events":['
        '{"at":{"type":"time","s":7.25},"do":{"type":"fault","name":"close_1006","probability":0.5,"for_s":9.3}},'
        '{"at":{"type":"time","s":4.589},"do":{"type":"fault","name":"precision_change","probability":0.1,"for_s":9.5}}]}'
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_scenario_that_once_failed_holds(name: str) -> None:
    verdict = play(plan.decode(FOUND[name]))
    assert verdict.ok, verdict.violations
