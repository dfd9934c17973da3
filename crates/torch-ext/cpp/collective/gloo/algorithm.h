// libtorch's header includes this one and uses nothing from it.
#pragma once
