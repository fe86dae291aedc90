package peers

import (
	"github.com/quasoft/memstore"
)

// The store in memory for gorilla/sessions that gin-contrib/sessions uses as
// well. Neither library has a call that renews a token.
var memstoreColumns = []Column{
	{Framework: "chi", Library: "gorilla-memstore", Keeps: OnServer, Open: func(s Setup) Site { return openGorilla(s, memStore()) }},
}

func memStore() *memstore.MemStore {
	store := memstore.NewMemStore(hashKey)
	options := gorillaOptions
	store.Options = &options
	store.MaxAge(options.MaxAge)
	return store
}
