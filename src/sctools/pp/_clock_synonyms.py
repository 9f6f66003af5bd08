"""Common names of assays, cell types, tissues and sexes, beside the labels of CELLxGENE.

For each label its other names, separated by semicolons. Case, spaces, punctuation, plural, "+" for
"positive" and a "cell" at the end make no difference and need no name of their own. A name under
several labels means the first of them that a vocabulary has.
"""

from __future__ import annotations

SYNONYMS: dict[str, dict[str, str]] = {
    "assay": {
        "10x 3' v1": "10x v1; 10x chromium v1; 3p v1; 10x 3p v1; SC3P v1",
        "10x 3' v2": "10x v2; 10x chromium v2; chromium v2; 3p v2; 10x 3p v2; SC3P v2; "
        "10x chromium 3' v2; chromium 3' v2; 10x genomics 3' v2; chromium single cell 3' v2",
        "10x 3' v3": "10x v3; 10x chromium v3; chromium v3; 3p v3; 10x 3p v3; SC3P v3; "
        "10x chromium 3' v3; chromium 3' v3; 10x genomics 3' v3; chromium single cell 3' v3; "
        "10x 3' v3.1; 10x v3.1; 10x chromium v3.1; 10x chromium 3' v3.1; chromium v3.1",
        "10x 5' v1": "5p v1; 10x 5p v1; SC5P v1; 10x chromium 5' v1",
        "10x 5' v2": "5p v2; 10x 5p v2; SC5P v2; 10x chromium 5' v2",
        "10x 3' transcription profiling": "10x 3'; 10x 3p; 3' GEX; 10x chromium 3'; 10x 3' v4; 3p",
        "10x 5' transcription profiling": "10x 5'; 10x 5p; 5' GEX; 10x chromium 5'; 10x 5' v3; 5p",
        "BD Rhapsody Whole Transcriptome Analysis": "BD Rhapsody; Rhapsody; BD Rhapsody WTA",
        "BD Rhapsody Targeted mRNA": "BD Rhapsody targeted",
        "ScaleBio single cell RNA sequencing": "ScaleBio",
        "Smart-seq2": "SS2; Smart-seq 2 full length",
        "Smart-seq v4": "Smart-seq4; SSv4; SMARTer v4; SMART-Seq v4 Ultra Low Input",
        "sci-RNA-seq": "sci-RNA-seq3; sciRNA-seq3",
    },
    "sex": {
        "female": "F; woman; women; girl; XX",
        "male": "M; man; men; boy; XY",
        "unknown": "U; unk; NA; n/a; none; not reported; not available; not known; unspecified; "
        "undetermined; missing; other",
    },
    "tissue_general": {
        "adipose tissue": "adipose; fat; white adipose tissue; subcutaneous adipose tissue; "
        "visceral adipose tissue; subcutaneous fat; visceral fat; perirenal fat; omental fat pad",
        "adrenal gland": "adrenal; adrenal cortex; adrenal medulla",
        "bladder organ": "bladder; urinary bladder; bladder lumen",
        "blood": "PBMC; peripheral blood; whole blood; venous blood; cord blood; "
        "umbilical cord blood; peripheral blood mononuclear cell; buffy coat; arterial blood",
        "bone marrow": "BM; BMMC; marrow; bone marrow mononuclear cell",
        "brain": "cerebral cortex; cortex; cerebrum; cerebellum; hippocampus; hypothalamus; "
        "thalamus; midbrain; substantia nigra; substantia nigra pars compacta; amygdala; striatum; "
        "basal ganglion; basal ganglia; caudate nucleus; putamen; pons; medulla oblongata; "
        "brainstem; prefrontal cortex; PFC; DLPFC; dorsolateral prefrontal cortex; frontal cortex; "
        "frontal lobe; temporal cortex; temporal lobe; middle temporal gyrus; parietal cortex; "
        "parietal lobe; occipital cortex; occipital lobe; primary motor cortex; "
        "primary visual cortex; visual cortex; motor cortex; entorhinal cortex; cingulate cortex; "
        "anterior cingulate cortex; superior frontal gyrus; inferior frontal gyrus; "
        "hippocampal formation; dentate gyrus; neocortex; white matter; olfactory bulb; "
        "nucleus accumbens; globus pallidus; choroid plexus; white matter of cerebellum; "
        "Brodmann (1909) area 4; Brodmann (1909) area 9; BA9; BA46",
        "breast": "mammary gland; mammary; upper outer quadrant of breast",
        "central nervous system": "CNS",
        "colon": "ascending colon; descending colon; transverse colon; sigmoid colon; "
        "colonic mucosa; colon mucosa; colonic epithelium; mucosa of colon",
        "digestive system": "gastrointestinal tract; GI tract; gut",
        "embryo": "whole embryo",
        "endocrine gland": "thyroid; thyroid gland; parathyroid gland; pituitary gland; pituitary; "
        "pineal gland",
        "esophagus": "esophagus mucosa; esophagus muscularis mucosa; lower esophagus; "
        "upper esophagus; esophageal mucosa; epithelium of esophagus",
        "exocrine gland": "salivary gland; parotid gland; submandibular gland; lacrimal gland; "
        "minor salivary gland; sublingual gland; sweat gland",
        "eye": "retina; cornea; iris; macula; fovea; peripheral retina; macula lutea; sclera; "
        "fovea centralis; retinal pigment epithelium; choroid; conjunctiva; lens; ciliary body; "
        "trabecular meshwork; macula lutea proper; peripheral region of retina",
        "fallopian tube": "oviduct; isthmus of fallopian tube; ampulla of fallopian tube; "
        "fimbria of fallopian tube; fimbria of uterine tube; ampulla of uterine tube; uterine tube",
        "gallbladder": "gall bladder",
        "heart": "heart left ventricle; heart right ventricle; left ventricle; right ventricle; "
        "left atrium; right atrium; left cardiac atrium; right cardiac atrium; cardiac atrium; "
        "cardiac ventricle; myocardium; interventricular septum; apex of heart; cardiac; "
        "right atrium auricular region; left atrium auricular region",
        "immune system": "thymus; tonsil; thymus gland; palatine tonsil",
        "intestine": "bowel",
        "kidney": "cortex of kidney; kidney cortex; renal cortex; renal medulla; kidney medulla; "
        "outer cortex of kidney; inner medulla of kidney; outer medulla of kidney; renal pelvis; "
        "renal papilla; kidney blood vessel; renal",
        "large intestine": "caecum; cecum; rectum; appendix; vermiform appendix; "
        "caecum epithelium; epithelium of rectum; mucosa of rectum; rectosigmoid junction",
        "liver": "hepatic; caudate lobe of liver; right lobe of liver; left lobe of liver; "
        "hepatic lobule; hepatic cecum",
        "lung": "lung parenchyma; upper lobe of left lung; upper lobe of right lung; "
        "lower lobe of left lung; lower lobe of right lung; middle lobe of right lung; "
        "right lung; left lung; lobe of lung; alveolus of lung; lower lobe of lung; "
        "upper lobe of lung; parenchyma of lung; pulmonary; alveolar system",
        "lymph node": "LN; mesenteric lymph node; thoracic lymph node; axillary lymph node; "
        "mediastinal lymph node; cervical lymph node; inguinal lymph node; bronchopulmonary "
        "lymph node; lung draining lymph node; tracheobronchial lymph node; lymphoid tissue",
        "musculature": "muscle; skeletal muscle; skeletal muscle tissue; skeletal muscle organ; "
        "muscle tissue; muscle organ; vastus lateralis; quadriceps femoris; gastrocnemius; "
        "rectus abdominis muscle; muscle of abdomen; diaphragm; muscle of pelvic diaphragm; "
        "psoas muscle; biceps femoris; vasculature of muscle",
        "nose": "nasal cavity; nasal epithelium; nasal mucosa; nasopharynx; inferior nasal concha; "
        "nasal turbinate; olfactory epithelium; nasal",
        "omentum": "greater omentum; peritoneal omentum",
        "ovary": "left ovary; right ovary; cortex of ovary; ovarian follicle",
        "pancreas": "islet of Langerhans; pancreatic islet; islet; exocrine pancreas; "
        "endocrine pancreas; body of pancreas; head of pancreas; tail of pancreas",
        "placenta": "decidua; decidua basalis; chorionic villus; placental villi; basal plate; "
        "chorion; chorionic plate",
        "prostate gland": "prostate; peripheral zone of prostate; transition zone of prostate",
        "reproductive system": "cervix; uterine cervix; vagina; epididymis",
        "respiratory system": "airway; trachea; bronchus; respiratory airway; bronchi; "
        "respiratory tract; tracheobronchial tree; bronchial epithelium; lower respiratory tract; "
        "upper respiratory tract; bronchoalveolar lavage; BAL; bronchiole; lobar bronchus; "
        "segmental bronchus; epithelium of trachea",
        "scalp": "skin of scalp",
        "skeletal system": "bone; cartilage; articular cartilage; knee joint; joint; "
        "intervertebral disc; rib; femur; skeleton; synovial tissue; synovium",
        "skin of body": "skin; dermis; epidermis; skin epidermis; skin of leg; skin of abdomen; "
        "skin of forearm; skin of arm; skin of back; skin of face; zone of skin; foreskin; "
        "skin of chest; axilla; skin of hip; skin of trunk; arm skin; hair follicle; "
        "hindlimb skin; skin of forehead; skin of cheek; skin of external ear",
        "small intestine": "ileum; jejunum; duodenum; ileal epithelium; terminal ileum; "
        "duodenal mucosa; jejunal epithelium; ileal mucosa; epithelium of small intestine; "
        "epithelium of ileum; submucosa of ileum",
        "spinal cord": "cervical spinal cord; lumbar spinal cord; thoracic spinal cord; "
        "cervical spinal cord white matter; dorsal root ganglion",
        "spleen": "splenic; white pulp of spleen; red pulp of spleen",
        "stomach": "gastric; gastric mucosa; body of stomach; pyloric antrum; "
        "pylorus; cardia of stomach; fundus of stomach; stomach mucosa; antrum",
        "testis": "testes; testicle; testicular; gonad; left testis; right testis",
        "tongue": "anterior part of tongue; posterior part of tongue",
        "uterus": "endometrium; myometrium; uterine; uterine wall; "
        "endometrial cavity; uterine corpus",
        "vasculature": "blood vessel; artery; vein; aorta; coronary artery; vessel; "
        "ascending aorta; thoracic aorta; abdominal aorta; carotid artery; umbilical cord; "
        "saphenous vein; artery tissue; inferior vena cava; vascular",
    },
    "cell_type": {
        # blood and immune system
        "B cell": "B lymphocyte; B lineage; CD19+ B; CD20+ B; B CD19+",
        "naive B cell": "B naive; immature/naive B; TCL1A+ FCER2+ B; B naive resting",
        "memory B cell": "B memory; switched memory B; B mem; Bmem",
        "transitional stage B cell": "transitional B; B transitional; immature B transitional",
        "immature B cell": "B immature",
        "germinal center B cell": "GC B; GCB; B GC",
        "follicular B cell": "B follicular",
        "plasma cell": "plasma; plasma B; antibody secreting; ASC; B plasma",
        "plasmablast": "B plasmablast",
        "T cell": "T lymphocyte; CD3+ T; T lineage; pan T",
        "CD4-positive, alpha-beta T cell": "CD4 T; CD4+ T; CD4; T CD4; T CD4+; CD4+ T lymphocyte; "
        "CD4 positive T; CD4 alpha beta T; CD4 T lymphocyte; CD4+; helper CD4 T",
        "CD8-positive, alpha-beta T cell": "CD8 T; CD8+ T; CD8; T CD8; T CD8+; CD8+ T lymphocyte; "
        "CD8 positive T; CD8 alpha beta T; CD8 T lymphocyte; CD8+",
        "naive thymus-derived CD4-positive, alpha-beta T cell": "naive CD4 T; CD4 naive T; "
        "CD4 naive; CD4 T naive; T CD4 naive; naive CD4+ T; CD4+ naive T; CD4 TN; CD4+ T naive; "
        "CD4 naive/central memory T; naive CD4; CD4+ naive; T4 naive; CD4+/CD45RA+/CD25- naive T",
        "naive thymus-derived CD8-positive, alpha-beta T cell": "naive CD8 T; CD8 naive T; "
        "CD8 naive; CD8 T naive; T CD8 naive; naive CD8+ T; CD8+ naive T; CD8 TN; CD8+ T naive; "
        "naive CD8; CD8+ naive; T8 naive; CD8+/CD45RA+ naive cytotoxic",
        "CD4-positive, alpha-beta memory T cell": "memory CD4 T; CD4 memory T; CD4 memory; "
        "CD4 T memory; memory CD4+ T; CD4+ memory T; CD4+ T memory; T CD4 memory; memory CD4; "
        "CD4+/CD45RO+ memory; activated memory CD4 T",
        "CD8-positive, alpha-beta memory T cell": "memory CD8 T; CD8 memory T; CD8 memory; "
        "CD8 T memory; memory CD8+ T; CD8+ memory T; CD8+ T memory; T CD8 memory; memory CD8",
        "central memory CD4-positive, alpha-beta T cell": "CD4 TCM; CD4 T central memory; "
        "CD4 central memory; central memory CD4 T; CD4+ TCM; CD4 CM; CD4+ central memory T",
        "central memory CD8-positive, alpha-beta T cell": "CD8 TCM; CD8 T central memory; "
        "CD8 central memory; central memory CD8 T; CD8+ TCM; CD8 CM; CD8+ central memory T",
        "effector memory CD4-positive, alpha-beta T cell": "CD4 TEM; CD4 T effector memory; "
        "CD4 effector memory; effector memory CD4 T; CD4+ TEM; CD4 EM; CD4+ effector memory T",
        "effector memory CD8-positive, alpha-beta T cell": "CD8 TEM; CD8 T effector memory; "
        "CD8 effector memory; effector memory CD8 T; CD8+ TEM; CD8 EM; CD8+ effector memory T",
        "CD4-positive, alpha-beta cytotoxic T cell": "CD4 CTL; CD4 cytotoxic T; CD4+ CTL",
        "CD8-positive, alpha-beta cytotoxic T cell": "CD8 CTL; cytotoxic CD8 T; CD8 cytotoxic T; "
        "CD8+ cytotoxic T; CD8+ CTL",
        "effector CD4-positive, alpha-beta T cell": "effector CD4 T; CD4 effector T; CD4 Teff",
        "effector CD8-positive, alpha-beta T cell": "effector CD8 T; CD8 effector T; CD8 Teff",
        "regulatory T cell": "Treg; T reg; T regulatory; CD4 Treg; CD4+ Treg; Treg CD4; "
        "CD4+ CD25+ regulatory T; CD4+/CD25 T reg; regulatory CD4 T",
        "cytotoxic T cell": "CTL; T cytotoxic; cytotoxic T lymphocyte",
        "T follicular helper cell": "Tfh; follicular helper T",
        "T-helper 1 cell": "Th1; T helper 1",
        "T-helper 2 cell": "Th2; T helper 2",
        "T-helper 17 cell": "Th17; T helper 17",
        "gamma-delta T cell": "gdT; gd T; T gd; gammadelta T; T gamma delta; GDT; Vd2 gdT; gdTc",
        "mucosal invariant T cell": "MAIT; T MAIT; mucosal associated invariant T; MAIT T",
        "mature NK T cell": "NKT; NK T; T NK; natural killer T",
        "naive T cell": "T naive",
        "memory T cell": "T memory",
        "exhausted T cell": "T exhausted; Tex",
        "double-positive, alpha-beta thymocyte": "DP thymocyte; DP T; double positive thymocyte",
        "double negative thymocyte": "DN thymocyte; DN T",
        "natural killer cell": "NK; CD56+ NK; NK lymphocyte; natural killer; NK CD56+; mature NK",
        "CD16-positive, CD56-dim natural killer cell, human": "CD56dim NK; NK CD56dim; NK CD16+; "
        "CD16+ NK; NK dim; CD56 dim NK",
        "CD16-positive, CD56-dim natural killer cell": "CD56dim NK; NK CD56dim; NK CD16+; CD16+ NK",
        "CD16-negative, CD56-bright natural killer cell, human": "CD56bright NK; NK CD56bright; "
        "NK CD56hi; NK bright; CD56 bright NK",
        "CD16-negative, CD56-bright natural killer cell": "CD56bright NK; NK CD56bright; NK bright",
        "innate lymphoid cell": "ILC",
        "group 2 innate lymphoid cell": "ILC2",
        "group 3 innate lymphoid cell": "ILC3",
        "monocyte": "mono; monocytic",
        "CD14-positive monocyte": "CD14+ mono; CD14+ monocyte; CD14 mono; CD14 monocyte; "
        "mono CD14; monocyte CD14; mono CD14+; monocyte CD14+",
        "classical monocyte": "c mono; monocyte classical; mono classical; "
        "CD14+ CD16- monocyte; CD14+ mono; CD14 mono; mono CD14; CD14+ monocyte; CD14 monocyte",
        "non-classical monocyte": "nc mono; CD16+ mono; CD16 mono; FCGR3A+ mono; FCGR3A mono; "
        "FCGR3A+ monocyte; CD16+ monocyte; CD16 monocyte; mono CD16; monocyte CD16; "
        "monocyte CD16+; "
        "monocyte nonclassical; mono nonclassical; FCGR3A monocyte; mono FCGR3A",
        "intermediate monocyte": "CD14+ CD16+ monocyte; monocyte intermediate; int mono; mono int",
        "dendritic cell": "DC; dendritic; myeloid/dendritic",
        "conventional dendritic cell": "cDC; conventional DC; classical dendritic; DC conventional",
        "CD141-positive myeloid dendritic cell": "cDC1; DC1; CD141+ DC; conventional dendritic 1; "
        "type 1 conventional dendritic; CLEC9A+ DC",
        "CD1c-positive myeloid dendritic cell": "cDC2; DC2; CD1c+ DC; conventional dendritic 2; "
        "type 2 conventional dendritic",
        "myeloid dendritic cell": "mDC; myeloid DC",
        "plasmacytoid dendritic cell": "pDC; plasmacytoid DC; DC plasmacytoid",
        "monocyte-derived dendritic cell": "moDC; mo-DC",
        "platelet": "PLT; thrombocyte",
        "megakaryocyte": "MK; Mgk; megakaryocytic",
        "erythrocyte": "RBC; red blood; Ery; Eryth; erythroid; Ery mature",
        "erythroid progenitor cell": "EryP; erythroid progenitor",
        "reticulocyte": "retic",
        "neutrophil": "neutro; PMN",
        "eosinophil": "Eos",
        "basophil": "Baso; Bas",
        "mast cell": "mast",
        "granulocyte": "gran",
        "macrophage": "mac; MΦ",
        "myeloid cell": "myeloid",
        "lymphocyte": "lymphoid; lymph",
        "leukocyte": "immune; white blood; WBC",
        "hematopoietic stem cell": "HSC; HSPC; CD34+; CD34; HSC/MPP; CD34+ HSPC",
        "hematopoietic precursor cell": "HSPC; hematopoietic stem and progenitor; HPC; CD34+",
        "hematopoietic multipotent progenitor cell": "MPP; HMP",
        "common lymphoid progenitor": "CLP",
        "common myeloid progenitor": "CMP",
        "granulocyte monocyte progenitor cell": "GMP; granulocyte monocyte progenitor",
        "megakaryocyte-erythroid progenitor cell": "MEP; megakaryocyte erythroid progenitor",
        "alveolar macrophage": "macrophage alveolar",
        "Kupffer cell": "Kupffer; liver macrophage",
        "peripheral blood mononuclear cell": "PBMC",
        # brain and nerves
        "microglial cell": "microglia; Micro; MG; microglial",
        "astrocyte": "Astro; Ast; fibrous astrocyte; protoplasmic astrocyte; astroglia",
        "oligodendrocyte": "Oligo; ODC; Olig; OL; MOL; mature oligodendrocyte",
        "oligodendrocyte precursor cell": "OPC; oligodendrocyte progenitor; oligo precursor; "
        "oligodendrocyte precursor",
        "neuron": "neuronal; nerve",
        "glutamatergic neuron": "excitatory neuron; neuron excitatory; excitatory; Ex; ExN; "
        "Exc; EXC neuron; Glut; glutamatergic; neuron glutamatergic",
        "GABAergic neuron": "inhibitory neuron; neuron inhibitory; inhibitory; In; InN; Inh; "
        "GABA; GABAergic; neuron GABAergic",
        "interneuron": "inter neuron",
        "medium spiny neuron": "MSN; neuron MSN; spiny projection neuron; SPN",
        "ependymal cell": "ependymal; Epen; ependyma",
        "Bergmann glial cell": "Bergmann glia; Bergmann",
        "Schwann cell": "Schwann",
        "Mueller cell": "Muller; Müller; Müller glia; Muller glia; Mueller glia",
        "vascular leptomeningeal cell": "VLMC; leptomeningeal",
        "radial glial cell": "radial glia",
        "neural progenitor cell": "NPC; neural progenitor; NSC; neural stem",
        "neuroblast (sensu Vertebrata)": "neuroblast",
        "retinal rod cell": "rod; rod photoreceptor",
        "retinal cone cell": "cone; cone photoreceptor",
        "retinal ganglion cell": "RGC",
        # vessels and connective tissue
        "endothelial cell": "endothelial; EC; endothelium; endothelia; vascular endothelial",
        "endothelial cell of lymphatic vessel": "lymphatic endothelial; LEC; lymphatic EC",
        "vein endothelial cell": "venous endothelial; venous EC",
        "endothelial cell of artery": "arterial endothelial; arterial EC",
        "capillary endothelial cell": "capillary; capillary EC",
        "pericyte": "pericytic",
        "mural cell": "mural",
        "smooth muscle cell": "SMC; smooth muscle; smooth muscle fiber",
        "vascular associated smooth muscle cell": "VSMC; vascular smooth muscle",
        "fibroblast": "Fibro; fibroblastic",
        "myofibroblast cell": "myofibroblast; MyoFib",
        "stromal cell": "stromal; stroma",
        "mesenchymal stem cell": "MSC; mesenchymal stromal; mesenchymal stem/stromal",
        "mesenchymal cell": "mesenchymal; mesenchyme",
        "mesothelial cell": "mesothelial; mesothelium",
        "adipocyte": "fat; Adipo",
        "chondrocyte": "Chondro",
        # muscle and heart
        "cardiac muscle cell": "cardiomyocyte; cardiac myocyte; cardiac muscle",
        "regular ventricular cardiac myocyte": "ventricular cardiomyocyte; vCM",
        "regular atrial cardiac myocyte": "atrial cardiomyocyte; aCM",
        "skeletal muscle satellite cell": "satellite; MuSC; muscle satellite; muscle stem",
        "skeletal muscle fiber": "myofiber; muscle fiber; skeletal myofiber; skeletal myocyte",
        "fast muscle cell": "type II myofiber; fast myofiber; fast twitch; type 2 myofiber",
        "slow muscle cell": "type I myofiber; slow myofiber; slow twitch; type 1 myofiber",
        # epithelia and organs
        "epithelial cell": "epithelial; epithelium",
        "keratinocyte": "keratinocytic",
        "melanocyte": "melanocytic",
        "hepatocyte": "liver parenchymal; Hepato",
        "hepatic stellate cell": "stellate hepatic; Ito",
        "cholangiocyte": "bile duct epithelial; Chol; biliary epithelial",
        "endothelial cell of hepatic sinusoid": "LSEC; liver sinusoidal endothelial",
        "pancreatic A cell": "alpha; pancreatic alpha; islet alpha",
        "type B pancreatic cell": "beta; pancreatic beta; islet beta; pancreatic B",
        "pancreatic D cell": "delta; pancreatic delta; islet delta",
        "pancreatic PP cell": "gamma; pancreatic gamma; pancreatic polypeptide; gamma PP",
        "PP cell": "gamma; pancreatic gamma; pancreatic polypeptide",
        "pancreatic epsilon cell": "epsilon",
        "pancreatic acinar cell": "pancreas acinar; acinar pancreas",
        "pancreatic ductal cell": "pancreas ductal; pancreatic duct",
        "duct epithelial cell": "ductal; ductal epithelial; duct",
        "type I pneumocyte": "AT1; alveolar type 1; alveolar type I; AT1 pneumocyte; "
        "pulmonary alveolar type 1; alveolar epithelial type 1; ATI; AEC1",
        "type II pneumocyte": "AT2; alveolar type 2; alveolar type II; AT2 pneumocyte; "
        "pulmonary alveolar type 2; alveolar epithelial type 2; ATII; AEC2",
        "club cell": "club; Clara",
        "ciliated cell": "ciliated",
        "basal cell": "basal",
        "goblet cell": "goblet",
        "secretory cell": "secretory",
        "podocyte": "Podo",
        "epithelial cell of proximal tubule": "proximal tubule; PT; proximal tubular; "
        "proximal tubule epithelial; proximal tubular epithelial",
        "kidney loop of Henle thick ascending limb epithelial cell": "TAL; LOH TAL; "
        "thick ascending limb; kidney loop of Henle TAL",
        "kidney loop of Henle epithelial cell": "loop of Henle; LOH",
        "kidney distal convoluted tubule epithelial cell": "DCT; distal convoluted tubule",
        "kidney collecting duct principal cell": "CD-PC; principal; collecting duct principal",
        "kidney collecting duct intercalated cell": "CD-IC; intercalated; "
        "collecting duct intercalated",
        "mesangial cell": "mesangial",
        "enterocyte": "enterocytic",
        "paneth cell": "Paneth",
        "enteroendocrine cell": "EEC; enteroendocrine",
        "urothelial cell": "urothelial; urothelium",
        "sperm": "spermatozoon; spermatozoa",
        "germ cell": "germ; germline",
        "Sertoli cell": "Sertoli",
        "Leydig cell": "Leydig",
        "granulosa cell": "granulosa",
        "malignant cell": "tumor; cancer; malignant; carcinoma",
        "unknown": "NA; n/a; none; unassigned; undefined; unclassified; not assigned; unk; "
        "unannotated; ambiguous; other",
    },
}
