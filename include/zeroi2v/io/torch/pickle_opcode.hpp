// pickle_opcode: the instructions of Python's pickles.
#pragma once

namespace zeroi2v::detail {

/// Opcodes of pickle protocols 0 to 5, named as in Python's pickletools.
enum class pickle_opcode : unsigned char {
    // protocols 0 and 1
    mark = '(', stop = '.', pop = '0', pop_mark = '1', dup = '2',
    int_line = 'I', long_line = 'L', float_line = 'F', string = 'S', unicode = 'V', none = 'N',
    binint = 'J', binint1 = 'K', binint2 = 'M', binfloat = 'G',
    binstring = 'T', short_binstring = 'U', binunicode = 'X',
    empty_list = ']', append = 'a', appends = 'e', list = 'l',
    empty_tuple = ')', tuple = 't',
    empty_dict = '}', dict = 'd', setitem = 's', setitems = 'u',
    get = 'g', binget = 'h', long_binget = 'j', put = 'p', binput = 'q', long_binput = 'r',
    global = 'c', reduce = 'R', build = 'b', inst = 'i', obj = 'o', persid = 'P', binpersid = 'Q',
    // protocol 2
    proto = 0x80, newobj = 0x81, ext1 = 0x82, ext2 = 0x83, ext4 = 0x84, tuple1 = 0x85, tuple2 = 0x86, tuple3 = 0x87,
    newtrue = 0x88, newfalse = 0x89, long1 = 0x8a, long4 = 0x8b,
    // protocol 3
    binbytes = 'B', short_binbytes = 'C',
    // protocol 4
    short_binunicode = 0x8c, binunicode8 = 0x8d, binbytes8 = 0x8e, empty_set = 0x8f, additems = 0x90, frozenset = 0x91,
    newobj_ex = 0x92, stack_global = 0x93, memoize = 0x94, frame = 0x95,
    // protocol 5
    bytearray8 = 0x96, next_buffer = 0x97, readonly_buffer = 0x98,
};

} // namespace zeroi2v::detail
