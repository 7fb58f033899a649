import Util

/// Hash seed of tests; which keys share a bucket is then the same in each run.
let testSeed = HashSeed(0x1234_5678_9ABC_DEF1, 0xFEDC_BA98_7654_3211)
