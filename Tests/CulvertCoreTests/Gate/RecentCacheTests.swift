import Testing

@testable import CulvertCore

@Suite("Recent cache")
struct RecentCacheTests {
    @Test("Large entries are bounded by what they cost, small ones by their number", arguments: [1, 10, 100, 10_000])
    func bounds(cost: Int) {
        var cache = RecentCache<Int, Int>(size: 100, bytes: 20_000)
        for key in 0..<1000 {
            cache.insert(key, for: key, cost: cost)
            #expect(cache.cost <= 20_000)
        }
        let last = cache[999]
        #expect(last == 999)
        var kept = 0
        for key in 0..<1000 where cache[key] != nil { kept += 1 }
        #expect(kept <= 100)
        #expect(kept >= min(50, 10_000 / cost))
    }

    @Test("What would be half of all is not kept, and pushes nothing out")
    func tooLarge() {
        var cache = RecentCache<Int, Int>(size: 100, bytes: 1000)
        cache.insert(1, for: 1, cost: 10)
        cache.insert(2, for: 2, cost: 501)
        let (small, large) = (cache[1], cache[2])
        #expect(small == 1)
        #expect(large == nil)
    }

    @Test("What is used stays, and an entry that is replaced costs once")
    func recent() {
        var cache = RecentCache<Int, Int>(size: 10, bytes: 1000)
        for key in 0..<100 {
            cache.insert(-1, for: -1, cost: 20)
            cache.insert(key, for: key, cost: 20)
            let used = cache[-1]
            #expect(used == -1)
        }
        var replaced = RecentCache<Int, Int>(size: 10, bytes: 1000)
        for value in 0..<100 { replaced.insert(value, for: 1, cost: 400) }
        #expect(replaced.cost <= 800)
        let value = replaced[1]
        #expect(value == 99)
    }
}
