// Engine and merge, compiled once.
#include <zeroi2v/model/merge_impl.hpp>
#include <zeroi2v/model/vit_engine_impl.hpp>

template class zeroi2v::vit_engine<zeroi2v::with_adapters>;
template class zeroi2v::vit_engine<zeroi2v::no_adapters>;
