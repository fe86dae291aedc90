package engines

import (
	"testing"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }
