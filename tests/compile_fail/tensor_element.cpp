// expect: zeroi2v::tensor: elements must be trivially copyable
#include <zeroi2v/tensor/tensor.hpp>

#include <string>

zeroi2v::dynamic_tensor<int, 1> good;
#ifdef ZEROI2V_EXPECT_FAILURE
zeroi2v::dynamic_tensor<std::string, 1> bad;
#endif
