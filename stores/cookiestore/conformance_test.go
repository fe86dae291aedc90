package cookiestore_test

import (
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/storetest"
)

func TestStore(t *testing.T) {
	storetest.RunCarrier(t, func(_ testing.TB, clock func() time.Time) core.Store {
		return cookiestore.New(cookiestore.Config{Clock: clock})
	})
}

func TestStoreWithRevocations(t *testing.T) {
	storetest.RunCarrier(t, func(_ testing.TB, clock func() time.Time) core.Store {
		revocations := cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{Clock: clock})
		return cookiestore.New(cookiestore.Config{Revocations: revocations, Clock: clock})
	})
}
