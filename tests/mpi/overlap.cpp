// mpi_overlap MILLIONS MILLISECONDS: how long a rank waits for the sum of a gradient of so many million floats, sent when a
// backward pass of twelve blocks has ended, and block by block while it goes on. A block is a sleep of so many milliseconds.
//   mpirun -n 2 --host a,b mpi_overlap 14.3 300      the adapters of ViT-B/16
#include <zeroi2v/mpi/mpi_exchange.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    auto const floats = static_cast<std::size_t>(std::atof(argv[1]) * 1e6);
    std::chrono::milliseconds const block{std::atoi(argv[2])};
    zeroi2v::mpi_exchange ranks;
    std::vector<float> gradient(floats, 1.0F);
    for (bool const by_block : {false, true})
        for (int round = 0; round < 3; ++round) {
            zeroi2v::gradient_node const node{ranks.rank(), ranks.rank() + 1, gradient.data()};
            static_cast<void>(ranks.gather("")); // all begin together
            ranks.begin(zeroi2v::tree_joins(ranks.ranks(), ranks.ranks(), ranks.rank(), std::span{&node, 1}), gradient);
            for (std::size_t i = 12; i-- > 0;) {
                std::this_thread::sleep_for(block);
                if (by_block) ranks.ready(floats / 12 * i);
            }
            auto const begin = std::chrono::steady_clock::now();
            ranks.ready(0);
            ranks.wait();
            std::chrono::duration<double> const waited = std::chrono::steady_clock::now() - begin;
            if (ranks.rank() == 0) std::printf("%s: waited %.3f s\n", by_block ? "block by block" : "at the end", waited.count());
        }
}
