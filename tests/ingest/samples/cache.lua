local socket = require("socket")

local Cache = {}
Cache.__index = Cache

local DEFAULT_SIZE = 1000

-- Makes an empty cache.
function Cache.new(size, seconds)
  local self = setmetatable({}, Cache)
  self.size = size or DEFAULT_SIZE
  self.seconds = seconds or 60
  self.entries, self.order = {}, {}
  self.hits, self.misses = 0, 0
  return self
end

function Cache:get(key, compute)
  local entry = self.entries[key]
  if entry and socket.gettime() - entry.stored < self.seconds then
    self.hits = self.hits + 1
    return entry.value
  end
  self.misses = self.misses + 1
  local value = compute(key)
  self:put(key, value)
  return value
end

local function evict(cache)
  while #cache.order > cache.size do
    local oldest = table.remove(cache.order, 1)
    cache.entries[oldest] = nil
    if cache.on_evict then
      cache.on_evict(oldest, #cache.order, cache.hits, cache.misses)
    end
  end
end

Cache.put = function(self, key, value)
  if not self.entries[key] then
    table.insert(self.order, key)
  end
  self.entries[key] = { value = value, stored = socket.gettime(), size = #tostring(value) }
  evict(self)
  return self.entries[key].size, #self.order, self.hits, self.misses
end

return Cache
