// Checkpoints for people who want a model: the file, and the weights in it. A list of headers.
#pragma once

#include <zeroi2v/io/checkpoints/checkpoint_file.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
