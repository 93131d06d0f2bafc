/** Every command, as the documentation and completion must know them. */
export const commandNames = [
  'serve',
  'upload',
  'check',
  'list',
  'show',
  'download',
  'delete',
  'import',
  'export',
  'fsck',
  'scrub',
  'backup',
  'restore',
  'migrate',
  'complete',
]
