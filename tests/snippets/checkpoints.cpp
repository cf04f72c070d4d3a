// The code of docs/checkpoints.md; tests/snippets/check.sh compares the two.
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/model/merge.hpp>

#include <cstdio>
#include <string>

void any_file() {
    auto const file = zeroi2v::load_checkpoint("ViT-B-16.pt"); // by content, not by name; no tensor is read yet
    for (zeroi2v::tensor_info const& info : file.tensors())
        std::printf("%s %s %s\n", info.name.c_str(), std::string{dtype_name(info.type)}.c_str(), to_string(info.sizes).c_str());
    zeroi2v::stored_tensor const one = file.read(file.tensors()[0].name); // with the dtype of the file
    static_cast<void>(one);
}

void as_a_model(zeroi2v::vit_config const& own_config) {
    auto const file = zeroi2v::load_checkpoint("epoch_40.pth");
    auto const adapted = zeroi2v::load_adapted_vit(file, zeroi2v::presets::clip_b16_k400_8f); // what the weights do not say, by name,
    auto const same = zeroi2v::load_adapted_vit(file, own_config);                            // or spelled out
    auto const merged = zeroi2v::load_merged_vit(zeroi2v::load_checkpoint("merged.safetensors")); // a file of ours says it itself
    static_cast<void>(adapted), static_cast<void>(same), static_cast<void>(merged);
}

void save(zeroi2v::merged_vit const& model) {
    zeroi2v::save_vit("copy.safetensors", model,
                      {.metadata = {{zeroi2v::metadata_key::config, to_json(zeroi2v::stated_by(model.config)).dump()},
                                    {zeroi2v::metadata_key::merged, "true"}}});
}

void plain_safetensors(zeroi2v::dynamic_tensor<float, 2> const& logits) {
    zeroi2v::write_safetensors("logits.safetensors", {{"logits", logits}}, {.metadata = {{"made by", "me"}}});
    auto const read_back = zeroi2v::read_safetensors("logits.safetensors");
    std::span<float const> const values = read_back["logits"].as<float>();
    static_cast<void>(values);
}

int handled(char const* path) {
    try {
        static_cast<void>(zeroi2v::load_checkpoint(path));
        return 0;
    } catch (zeroi2v::error const& fault) { // checkpoint_error here; each kind has its type and its exit status
        std::fprintf(stderr, "%s: %s\n", std::string{fault.code_name()}.c_str(), fault.what());
        return fault.exit_status();
    }
}
