package memorystore

// heap finds the entry of a shard with the earliest time, be it that of its
// expiry or of its last use. It is lazy: a key is never later than its entry's
// time, but may be earlier, because times move forward with every request and
// the heap is not told. Whoever wants the first entry sets keys right until
// the first one is; a move forward is paid for at most once, and mostly never.
//
// It has four children to a node, which halves its depth, and holds no
// pointers, which keeps it out of the garbage collector's way.
type heap struct {
	time  func(*entry) int64
	items []item
	at    []int32 // where each slot is in items, or absent
}

type item struct {
	key  int64
	slot int32
}

// absent is no place, and no slot.
const absent = -1

func (h *heap) has(slot int32) bool { return int(slot) < len(h.at) && h.at[slot] != absent }

// push adds the entry of a slot.
func (h *heap) push(slot int32, e *entry) {
	for int(slot) >= len(h.at) {
		h.at = append(h.at, absent)
	}
	h.items = append(h.items, item{h.time(e), slot})
	h.up(len(h.items) - 1)
}

// remove takes a slot out.
func (h *heap) remove(slot int32) {
	i, last := int(h.at[slot]), len(h.items)-1
	moved := h.items[last]
	h.items = h.items[:last]
	if i < last {
		h.put(i, moved)
		h.up(i)
		h.down(int(h.at[moved.slot]))
	}
	h.at[slot] = absent
}

// earlier is to be called when the time of a slot's entry may have moved back.
func (h *heap) earlier(slot int32, e *entry) {
	i := int(h.at[slot])
	if t := h.time(e); t < h.items[i].key {
		h.items[i].key = t
		h.up(i)
	}
}

// first returns the slot whose entry has the earliest time, absent if the heap
// is empty. If ok is false, it set one key right instead: ask again.
func (h *heap) first(entries []*entry) (slot int32, ok bool) { return h.settle(0, entries) }

// second is first for the slot after the first, which must be settled.
func (h *heap) second(entries []*entry) (slot int32, ok bool) {
	return h.settle(h.leastChild(0), entries)
}

func (h *heap) settle(i int, entries []*entry) (slot int32, ok bool) {
	if i >= len(h.items) {
		return absent, true
	}
	it := &h.items[i]
	if t := h.time(entries[it.slot]); t > it.key {
		it.key = t
		h.down(i)
		return absent, false
	}
	return it.slot, true
}

// bound is a time that no entry's is before.
func (h *heap) bound() int64 {
	if len(h.items) == 0 {
		return never
	}
	return h.items[0].key
}

// before calls fn for the slots whose keys are before a time, among them all
// whose entries' times are.
func (h *heap) before(t int64, fn func(slot int32)) { h.walk(0, t, fn) }

func (h *heap) walk(i int, t int64, fn func(slot int32)) {
	if i >= len(h.items) || h.items[i].key >= t {
		return
	}
	fn(h.items[i].slot)
	for child := 4*i + 1; child <= 4*i+4; child++ {
		h.walk(child, t, fn)
	}
}

func (h *heap) put(i int, it item) {
	h.items[i] = it
	h.at[it.slot] = int32(i)
}

func (h *heap) up(i int) {
	it := h.items[i]
	for i > 0 {
		parent := (i - 1) / 4
		if h.items[parent].key <= it.key {
			break
		}
		h.put(i, h.items[parent])
		i = parent
	}
	h.put(i, it)
}

func (h *heap) down(i int) {
	it := h.items[i]
	for {
		child := h.leastChild(i)
		if child >= len(h.items) || h.items[child].key >= it.key {
			break
		}
		h.put(i, h.items[child])
		i = child
	}
	h.put(i, it)
}

// leastChild returns the child of i with the least key, or a place beyond the
// end if it has none.
func (h *heap) leastChild(i int) int {
	least := 4*i + 1
	for child := least + 1; child < min(4*i+5, len(h.items)); child++ {
		if h.items[child].key < h.items[least].key {
			least = child
		}
	}
	return least
}
