import CulvertSystem
import Glibc
import Testing

@Suite("Shares of the descriptors")
struct DescriptorBudgetTests {
    @Test(
        "Something is kept for upstreams, and of that something for the control plane, at any limit",
        arguments: [64, 120, 256, 1024, 4096, 65_536, 1_073_741_816])
    func bounds(limit: Int) {
        let bounds = DescriptorBudget.Bounds(limit: limit)
        #expect(bounds.clients < bounds.upstreams && bounds.upstreams < bounds.limit)
        #expect(bounds.limit - bounds.upstreams >= 4)
        // Most are for clients.
        #expect(bounds.clients * 8 >= limit * 7 - 8)
        // The admin listener's connections leave some to files.
        #expect(bounds.control <= bounds.limit - bounds.upstreams)
    }

    @Test("The lowest free number is the one that the next descriptor gets")
    func lowestFree() {
        // Other tests open and close at the same time: the least of a few looks is compared.
        let budget = DescriptorBudget(limit: 1 << 20)
        let matches = (0..<100).contains { _ in
            let expected = budget.lowestFree()
            let descriptor = open("/dev/null", O_RDONLY)
            defer { close(descriptor) }
            return Int(descriptor) == expected
        }
        #expect(matches)
    }
}
