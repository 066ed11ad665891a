const std = @import("std");

pub const Error = error{ Full, Empty };

/// A queue of fixed size.
pub const Ring = struct {
    items: [64]u32 = undefined,
    head: usize = 0,
    count: usize = 0,

    pub fn push(self: *Ring, item: u32) Error!void {
        if (self.count == self.items.len) {
            std.log.warn("the ring is full: {d} items, head {d}", .{ self.count, self.head });
            return Error.Full;
        }
        self.items[(self.head + self.count) % self.items.len] = item;
        self.count += 1;
    }

    pub fn pop(self: *Ring) Error!u32 {
        if (self.count == 0) return Error.Empty;
        const item = self.items[self.head];
        self.head = (self.head + 1) % self.items.len;
        self.count -= 1;
        std.log.debug("popped {d}; {d} items remain, head {d}", .{ item, self.count, self.head });
        return item;
    }
};

fn sum(values: []const u32) u64 {
    var total: u64 = 0;
    for (values) |value| {
        total += value;
    }
    return total;
}

test "items come out in the order in which they were pushed" {
    var ring = Ring{};
    try ring.push(1);
    try ring.push(2);
    try std.testing.expectEqual(@as(u32, 1), try ring.pop());
    try std.testing.expectEqual(@as(u32, 2), try ring.pop());
    try std.testing.expectError(Error.Empty, ring.pop());
}
