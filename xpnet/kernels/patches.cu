// Patch features of images: the contrast of every patch, its numbers, and averages over the cells of a grid. Each
// thread computes one result; neighbouring threads read neighbouring bytes.

// The mean of patch i of size x size pixels, and one by its contrast. Patches are counted by image, row and column.
template <typename Images>
__device__ void xpnet_patch_contrast(const Images& images, long long i, int size, int height, int width,
                                     int channels, float added, float& mean, float& inverse) {
    const int across = width - size + 1, down = height - size + 1, length = size * channels;
    const long long row = i / across / down * height + i / across % down;
    const long long start = (row * width + i % across) * channels;
    int total = 0;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < length; x++) total += images[start + (long long)y * width * channels + x];
    mean = (float)total / (float)(size * length);
    float squares = 0.0f;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < length; x++) {
            const float centered = (float)images[start + (long long)y * width * channels + x] - mean;
            squares += centered * centered;
        }
    inverse = 1.0f / sqrt(squares / (float)(size * length) + added);
}

// Number j of patch i, less its mean and divided by its contrast; 1 after the last one.
template <typename Images>
__device__ float xpnet_patch_number(const Images& images, long long i, int j, int size, int height, int width,
                                    int channels, float mean, float inverse) {
    const int across = width - size + 1, down = height - size + 1, length = size * channels;
    if (j == size * length) return 1.0f;
    const long long row = i / across / down * height + i / across % down + j / length;
    return ((float)images[(row * width + i % across) * channels + j % length] - mean) * inverse;
}

// Averages of max(Z, a) - a and of -a - min(Z, -a) over a cell. i counts images, cells by row and column, and products.
template <typename Products, typename Averages>
__device__ void xpnet_pool_cell(const Products& Z, long long i, int down, int across, int count, int rows, int columns,
                                float a, Averages& found) {
    const int k = (int)(i % count), column = (int)(i / count % columns), row = (int)(i / count / columns % rows);
    const long long image = i / count / columns / rows;
    const int top = row * down / rows, bottom = ((row + 1) * down + rows - 1) / rows;
    const int left = column * across / columns, right = ((column + 1) * across + columns - 1) / columns;
    float above = 0.0f, below = 0.0f;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            const float z = Z[((image * down + y) * across + x) * count + k];
            above += z > a || z != z ? z - a : 0.0f;
            below += z < -a || z != z ? -a - z : 0.0f;
        }
    const float area = (float)((bottom - top) * (right - left));
    const long long at = ((image * rows + row) * columns + column) * 2 * count + k;
    found[at] = above / area;
    found[at + count] = below / area;
}
